// A picture that is dropped on the page fills the form with the request that it carries (store/pictures/marks.py).

const LARGEST = 64 * 2 ** 20; // bytes
const MADE = /<underpaint:made>(\{.*?\})<\/underpaint:made>/s;

/** The request that the picture in a file carries, with its own seed; null if it carries none. */
export async function requestIn(file) {
  if (file.size > LARGEST) return null;
  // The packet is ASCII within the bytes of the picture, and its text needs no XML to be read.
  const found = MADE.exec(new TextDecoder("latin1").decode(await file.arrayBuffer()));
  try {
    const { request, seed } = JSON.parse(found[1]);
    return { ...request, seed, images: 1 };
  } catch {
    return null;
  }
}

/** Calls `filled(request)` or, if there is none, `empty()` for each picture that is dropped where nothing else takes it. */
export function onDrop(filled, empty) {
  const isFile = ({ dataTransfer }) => dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => isFile(event) && event.preventDefault());
  addEventListener("drop", async (event) => {
    if (!isFile(event) || event.defaultPrevented) return;
    event.preventDefault();
    const request = await requestIn(event.dataTransfer.files[0]);
    if (request) filled(request);
    else empty();
  });
}

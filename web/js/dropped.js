// Files that come from outside: dropped on the page or pasted, and what a picture in one says about how it was made
// (store/pictures/marks.py).

const LARGEST = 64 * 2 ** 20; // bytes
const MADE = /<underpaint:made>(\{.*?\})<\/underpaint:made>/s;

/** How the picture in a file was made: its request, with its own seed, and its job; null if it does not say. */
export async function madeOf(file) {
  if (file.size > LARGEST) return null;
  // The packet is ASCII within the bytes of the picture, and its text needs no XML to be read.
  const found = MADE.exec(new TextDecoder("latin1").decode(await file.arrayBuffer()));
  try {
    const { request, seed, job } = JSON.parse(found[1]);
    return { request: { ...request, seed, images: 1 }, job };
  } catch {
    return null;
  }
}

/** Calls `take(file)` for each file that is dropped or pasted where nothing else takes it. While one is dragged over the
 * page, its body has the class `dropping`. */
export function onFile(take) {
  const isFile = ({ dataTransfer }) => dataTransfer?.types.includes("Files");
  const mark = (whether) => document.body.classList.toggle("dropping", whether);
  addEventListener("dragover", (event) => {
    if (!isFile(event)) return;
    event.preventDefault();
    mark(true);
  });
  addEventListener("dragleave", ({ relatedTarget }) => relatedTarget === null && mark(false));
  addEventListener("drop", (event) => {
    mark(false);
    if (!isFile(event) || event.defaultPrevented) return;
    event.preventDefault();
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => {
    const { files, types } = event.clipboardData;
    // Office programs put a picture of the text beside the text.
    if (!files.length || (types.includes("text/plain") && event.target.matches("input, textarea"))) return;
    event.preventDefault();
    take(files[0]);
  });
}

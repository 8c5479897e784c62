// Addresses. They are relative to the page, so that it works below a prefix of a reverse proxy as well.

export const url = (path) => new URL(path, document.baseURI).href;

/** The address of the page that shows a job. */
export const jobUrl = (id) => `${url("./")}#job=${id}`;

/** The job that the address names, or null. */
export function jobInAddress() {
  const id = new URLSearchParams(location.hash.slice(1)).get("job") ?? new URLSearchParams(location.search).get("job");
  return /^[0-9a-f-]{36}$/i.test(id ?? "") ? id : null;
}

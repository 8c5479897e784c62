// Addresses. They are relative to the page, so that it works below a prefix of a reverse proxy as well.

export const url = (path) => new URL(path, document.baseURI).href;

/** The address of the page that shows a job; with a token to whoever has no key for it. */
export const jobUrl = (id, token) => `${url("./")}#job=${id}${token ? `&share=${token}` : ""}`;

const inAddress = (name) => new URLSearchParams(location.hash.slice(1)).get(name);

/** The job that the address names, or null. */
export function jobInAddress() {
  const id = inAddress("job") ?? new URLSearchParams(location.search).get("job");
  return /^[0-9a-f-]{36}$/i.test(id ?? "") ? id : null;
}

/** The token that opens that job to those who have no key for it, or null. It is behind the #, so no log has it. */
export const tokenInAddress = () => inAddress("share");

// Addresses. They are relative to the page, so that the page also works below a prefix of a reverse proxy.

export const url = (path) => new URL(path, document.baseURI).href;

/** The address of the page that shows a job; with a token also to those without a key. */
export const jobUrl = (id, token) => `${url("./")}#job=${id}${token ? `&share=${token}` : ""}`;

const inAddress = (name) => new URLSearchParams(location.hash.slice(1)).get(name);

/** The job in the address of the page, or null. */
export function jobInAddress() {
  const id = inAddress("job") ?? new URLSearchParams(location.search).get("job");
  return /^[0-9a-f-]{36}$/i.test(id ?? "") ? id : null;
}

/** The share token in the address, or null. It is in the fragment, so it does not appear in logs. */
export const tokenInAddress = () => inAddress("share");

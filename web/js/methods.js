// What the page must know about each method. Written by `python -m contract.methods > web/js/methods.js`.

export const METHODS = {
  "collocation": {
    "title": "Collocation",
    "summary": "evaluates the model at a few steps, and interpolates the others",
    "refines": true,
    "byBlocks": false
  },
  "srds": {
    "title": "SRDS",
    "summary": "refines all blocks in parallel",
    "refines": true,
    "byBlocks": true
  },
  "serial": {
    "title": "Serial",
    "summary": "takes one step after the other, from noise to picture",
    "refines": false,
    "byBlocks": false
  }
};

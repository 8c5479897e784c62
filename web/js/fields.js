// The fields of a request that are folded away: what each is called, takes, and means.

/** By name. `range` gives [lowest, highest, step] from a model's limits; `without` are methods that do not take it. */
export const FIELDS = {
  negative_prompt: { label: "Not in the picture", hint: "What the picture should not show.", wide: true },
  method: {
    label: "Method",
    hint: "SRDS refines all blocks in parallel; the window needs fewer rounds; serial is the plain sampler.",
    options: { auto: "Automatic", srds: "SRDS", window: "Window", serial: "Serial" },
  },
  steps: {
    label: "Steps",
    hint: "Of the serial sampler. More make a better picture.",
    range: (limits) => [limits.min_steps, limits.max_steps, 1],
  },
  guidance_scale: {
    label: "Guidance",
    hint: "How closely the picture keeps to the prompt; 1 is none.",
    range: (limits) => [1, limits.max_guidance_scale, "any"],
  },
  images: { label: "Images", hint: "From seeds one apart.", range: (limits) => [1, limits.max_images, 1], initial: 1 },
  seed: {
    label: "Seed",
    hint: "The same seed gives the same picture. Empty: a new one each time.",
    range: () => [0, 2 ** 32 - 1, 1],
    empty: "random",
  },
  blocks: {
    label: "Blocks",
    hint: "How many blocks cut the steps. Empty: the planner chooses.",
    range: (limits) => [1, limits.max_steps, 1],
    empty: "planned",
    without: ["window", "serial"],
  },
  tolerance: {
    label: "Tolerance",
    hint: "Stop when an iterate moves less than this. 0: exactly the serial picture.",
    range: () => [0, 1, "any"],
    without: ["serial"],
  },
  max_iterations: {
    label: "Iterates at most",
    hint: "0 makes the roughest draft. Empty: until the tolerance.",
    range: (limits) => [0, limits.max_steps, 1],
    empty: "no limit",
    without: ["window", "serial"],
  },
  width: { label: "Width", hint: "Pixels.", range: size },
  height: { label: "Height", hint: "Pixels.", range: size },
};

function size(limits) {
  return [limits.min_size, limits.max_size, limits.multiple_of];
}

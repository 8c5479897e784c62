// The job that the page shows, with its iterates, and which of its pictures is selected.

import { ended } from "./follow.js";

export class Work extends EventTarget {
  constructor(id) {
    super();
    this.id = id;
    this.job = null;
    this.image = 0; // the selected image
    this.pinned = null; // the number of the selected iterate; null for the newest
    this.before = null; // what it is compared with, see compare.js
    this.strips = new Map(); // image -> its iterates, by number
    this.missing = null; // why there is no such job
  }

  setJob(job) {
    // Responses may arrive out of order.
    if (this.job && this.job.updated_at > job.updated_at) return;
    this.job = job;
    this.changed();
  }

  addIterate(iterate) {
    const strip = this.strip(iterate.image);
    const place = strip.findIndex((other) => other.iterate >= iterate.iterate);
    if (place < 0) strip.push(iterate);
    else if (strip[place].iterate === iterate.iterate) strip[place] = { ...strip[place], ...iterate };
    else strip.splice(place, 0, iterate);
    this.changed();
  }

  strip(image = this.image) {
    if (!this.strips.has(image)) this.strips.set(image, []);
    return this.strips.get(image);
  }

  /** The newest iterate of an image that has a picture. */
  newest(image = this.image) {
    return this.strip(image).findLast((iterate) => iterate.picture !== null);
  }

  /** The selected iterate. */
  get shown() {
    return this.strip().find((iterate) => iterate.iterate === this.pinned && iterate.picture !== null) ?? this.newest();
  }

  get imageFigures() {
    return this.job?.images[this.image];
  }

  get ended() {
    return this.job !== null && ended(this.job);
  }

  look(image, iterate) {
    this.image = image;
    this.pinned = iterate;
    this.changed();
  }

  compareWith(before) {
    this.before = before;
    this.changed();
  }

  /** Dispatches one event for all changes of the current task. */
  changed() {
    if (this.notifying) return;
    this.notifying = true;
    queueMicrotask(() => {
      this.notifying = false;
      this.dispatchEvent(new Event("change"));
    });
  }
}

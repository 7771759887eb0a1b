// The clocks of time zones as the API has them. A browser's own data may be of another year, or lack the zone.

const zones = new Map();
const asked = new Map(); // what is being fetched, by name: reports that arrive together ask once

/** Has the zone's clock at hand, if the API tells it. */
export function learnZone(name) {
  if (name === 'UTC' || zones.has(name)) return undefined;
  if (!asked.has(name)) asked.set(name, fetchZone(name).finally(() => asked.delete(name)));
  return asked.get(name);
}

async function fetchZone(name) {
  try {
    const answer = await fetch(`/assets/zone.json?${new URLSearchParams({ name })}`, { credentials: 'omit' });
    if (answer.ok) zones.set(name, await answer.json());
  } catch {
    // Times are shown in UTC, and say so, until the next report.
  }
}

/** By how many milliseconds the zone's clock is ahead of UTC at an instant; null where that is not known. */
export function offsetAt(instant, name) {
  if (name === 'UTC') return 0;
  const changes = zones.get(name)?.changes;
  if (!changes) return null;
  let [low, high] = [0, changes.length];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (changes[middle][0] <= instant) low = middle;
    else high = middle;
  }
  return changes[low][1] * 1000;
}

const DAY_MS = 86_400_000;

/** The instant, in milliseconds, at which a day (YYYY-MM-DD) of the zone is over; null where its clock is not known. */
export function endOfDay(day, name) {
  const midnight = Date.parse(`${day}T00:00:00Z`) + DAY_MS;
  // A change of the clock near midnight leaves two instants; the first of them at which the clock shows midnight or later.
  const instants = [midnight - DAY_MS, midnight + DAY_MS].map((near) => offsetAt(near, name)).map((offset) => (offset === null ? null : midnight - offset));
  return instants.includes(null) ? null : instants.sort((a, b) => a - b).find((instant) => instant + offsetAt(instant, name) >= midnight) ?? null;
}

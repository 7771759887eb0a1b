// The clocks of time zones as the API has them. A browser's own data may be of another year, or lack the zone.

const zones = new Map();

/** Has the zone's clock at hand, if the API tells it. */
export async function learnZone(name) {
  if (name === 'UTC' || zones.has(name)) return;
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

// Numbers, days, times and durations as a person reads them. Reports carry days as `YYYY-MM-DD`, in the account's zone,
// and instants as RFC 3339 in UTC.

import { offsetAt } from './zone.js';

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const hundredths = new Intl.NumberFormat('en', { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** A count, with thousands separators. One beyond 2^53 was rounded when it was read, and says so. */
export function count(value) {
  const rounded = Number.isSafeInteger(value) ? '' : '≈\u00a0';
  return rounded + whole.format(value).replace('-', '−');
}

const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

/** A count as short as an axis needs it: `1,500`, `1.5M`. */
export function short(value) {
  return value < 100_000 ? whole.format(value) : compact.format(value);
}

/** A figure that has two decimals by contract. */
export function decimal(value) {
  return hundredths.format(value);
}

/** `part` of `all` in percent, rounded down to 2 decimals, so that 100 means all; null where there is nothing to be part of. */
export function percent(part, all) {
  if (all <= 0) return null;
  return `${decimal(Number((BigInt(part) * 10_000n) / BigInt(all)) / 100)} %`;
}

/** `one` thing, several `many`. */
export function plural(number, one, many) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** `5 Mar 2026`. */
export function day(text) {
  const [year, month, date] = text.split('-').map(Number);
  return `${date} ${MONTHS[month - 1]} ${year}`;
}

/** `5 Mar`. */
export function shortDay(text) {
  const [, month, date] = text.split('-').map(Number);
  return `${date} ${MONTHS[month - 1]}`;
}

/** Two days and what lies between them, with nothing said twice: `9–15 Mar 2026`. */
export function span(start, end) {
  if (start === end) return day(start);
  const [startYear, startMonth, startDate] = start.split('-').map(Number);
  const [endYear, endMonth] = end.split('-').map(Number);
  if (startYear !== endYear) return `${day(start)} – ${day(end)}`;
  if (startMonth !== endMonth) return `${shortDay(start)} – ${day(end)}`;
  return `${startDate}–${day(end)}`;
}

/** The name of a report bucket: of the whole unit where it is whole, else of its days. */
export function bucket(point, interval) {
  const so_far = point.partial ? ', so far' : '';
  return (wholeUnit(point, interval) ?? span(point.start, point.end)) + so_far;
}

function wholeUnit({ start, end }, interval) {
  const [year, month] = start.split('-').map(Number);
  const months = { month: 1, quarter: 3, year: 12 }[interval];
  const begins = start.endsWith('-01') && (month - 1) % (months ?? 1) === 0;
  if (!months || !begins || end !== lastDay(year, month + months - 1)) return null;
  return { month: `${MONTHS[month - 1]} ${year}`, quarter: `Q${(month + 2) / 3} ${year}`, year: `${year}` }[interval];
}

function lastDay(year, month) {
  return new Date(Date.UTC(year, month, 0)).toISOString().slice(0, 10);
}

/** Whether the range cuts days off a bucket, whose figures are then of fewer days than those beside it. */
export function isCut({ start, end }, interval) {
  if (interval === 'day') return false;
  if (interval !== 'week') return wholeUnit({ start, end }, interval) === null;
  return Date.parse(end) - Date.parse(start) < 6 * 86_400_000;
}

/** What stands below a bucket on an axis. */
export function tick(point, interval) {
  const [year, month] = point.start.split('-').map(Number);
  if (interval === 'year') return String(year);
  if (interval === 'quarter') return `Q${Math.ceil(month / 3)} ${year}`;
  if (interval === 'month') return `${MONTHS[month - 1]} ${year}`;
  return shortDay(point.start);
}

/** Milliseconds in the two units that matter: `3 h 12 min`. */
export function duration(milliseconds) {
  const seconds = Math.floor(milliseconds / 1000);
  if (milliseconds < 1000) return `${milliseconds} ms`;
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86_400 * 2) return `${count(Math.floor(seconds / 3600))} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${count(Math.floor(seconds / 86_400))} d ${Math.floor((seconds % 86_400) / 3600)} h`;
}

/** An instant's date in the zone; in UTC, which it says then, where the zone's clock is not known. */
export function dateIn(instant, zone) {
  const { year, month, date, known } = fields(instant, zone);
  return `${date} ${month} ${year}${known ? '' : ' (UTC)'}`;
}

/** An instant's date and minute in the zone. A line may only break between the two. */
export function momentIn(instant, zone) {
  const { year, month, date, hour, minute, known } = fields(instant, zone);
  return `${date}\u00a0${month}\u00a0${year}, ${hour}:${minute}${known ? '' : '\u00a0UTC'}`;
}

/** An instant in UTC, to the millisecond, for where its moment in the account's zone is shown already. */
export function exactly(instant) {
  return `${dateIn(instant, 'UTC')}, ${new Date(instant).toISOString().slice(11, 23)} UTC`;
}

/** The time of day of an instant, with seconds, in the zone of the person's own clock. */
export function clock(instant) {
  return new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' }).format(instant);
}

function fields(instant, zone) {
  const time = Date.parse(instant);
  const offset = offsetAt(time, zone);
  const local = new Date(time + (offset ?? 0));
  const two = (number) => String(number).padStart(2, '0');
  return {
    year: local.getUTCFullYear(), month: MONTHS[local.getUTCMonth()], date: local.getUTCDate(),
    hour: two(local.getUTCHours()), minute: two(local.getUTCMinutes()), known: offset !== null,
  };
}

/** How long ago, from seconds. */
export function ago(seconds) {
  if (seconds < 2) return 'just now';
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h ago`;
  return `${count(Math.round(seconds / 86_400))} days ago`;
}

/** The day of an instant in the zone, `YYYY-MM-DD`. */
export function dayIn(instant, zone) {
  const time = Date.parse(instant);
  return new Date(time + (offsetAt(time, zone) ?? 0)).toISOString().slice(0, 10);
}

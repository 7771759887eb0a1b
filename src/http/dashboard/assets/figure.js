// A chart with all that belongs to it: a title, a legend that does not rest on colour alone, and its figures as a table.
//
// A chart is described once, by a plain object, from which drawing, tooltip, legend and table are made:
//   id, title, note         its name on the page, its heading, a sentence below it
//   labels, ticks           the long and the short name of each place on the axis
//   partial, partialAt      whether the last place, or that one, is not over yet
//   cut                     for each place whether the range cuts days off it
//   series                  [{ name, values, kind: 'step' | 'line' | 'bar' | 'mark', color, dash: 'dash' | 'dot', symbol, show(value) }];
//                           a value that is null is not drawn, `plain` marks no single points, `aside` leaves a series out of
//                           tooltip and table
//   bands                   [{ name, lower, upper, color, pattern: 'lines' | 'cross' }], areas between two lists of values
//   extra                   [{ name, show(index) }], figures for tooltip and table alone
//   stacked                 whether bars stand on top of each other
//   rowHead                 the heading of the table's first column
//   links, leads            for each place the address that it leads to, or null; what is there, in words

import { h } from './dom.js';
import { count } from './format.js';
import { named } from './names.js';

/** The element of a chart. `chart.js` draws into it once it is on the page. */
export function figure(chart, ...controls) {
  return h('figure', { class: 'card chart', 'data-key': `chart-${chart.id}`, 'aria-labelledby': `${chart.id}-title` },
    h('figcaption', { class: 'chart-head' },
      h('h2', { id: `${chart.id}-title` }, chart.title),
      controls),
    note(chart),
    legend(chart),
    h('div', { class: 'frame' },
      h('div', { class: 'plot', id: `plot-${chart.id}`, 'data-key': 'plot', 'data-keep': true }),
      h('div', { class: 'tooltip', id: `tooltip-${chart.id}`, 'data-key': 'tooltip', 'data-keep': true, role: 'tooltip', hidden: true })),
    asTable(chart));
}

function note(chart) {
  const hatched = chart.partial && chart.series.some(({ kind }) => kind === 'bar');
  const full = chart.partial ? chart.partialAt ?? chart.labels.length - 1 : chart.labels.length;
  const dotted = chart.cut?.slice(0, full).some(Boolean);
  const words = [
    chart.note, hatched ? 'What is hatched is not over yet.' : null,
    dotted ? 'What is dotted is cut by the period: it has fewer days than the others.' : null,
  ].filter(Boolean).join(' ');
  return words ? h('p', { class: 'note' }, words) : null;
}

function legend({ id, series, bands = [] }) {
  return h('ul', { class: 'legend', 'aria-label': 'Legend', id: `legend-${id}` },
    series.filter(({ values }) => values.some((value) => value !== null)).map(({ name, color, kind, dash }) => h('li', null, swatch(color, shapeOf({ kind, dash })), name)),
    bands.map(({ name, color, pattern }) => h('li', null, swatch(color, pattern ? 'striped' : 'box'), name)));
}

/** The little sign that ties a name to what is drawn. */
export function swatch(color, shape) {
  return h('span', { class: `swatch swatch-${shape} color-${color}`, 'aria-hidden': 'true' });
}

function asTable(chart) {
  const { id, title, labels, series, bands = [], extra = [], links, rowHead = 'Period' } = chart;
  const columns = [...told(series).map(({ name }) => name), ...extra.map(({ name }) => name)];
  const row = (label, index) => h('tr', null,
    h('th', { scope: 'row' }, links?.[index] ? h('a', { href: links[index], 'data-action': 'link' }, named(label)) : named(label)),
    valuesAt({ series, bands, extra }, index).map(({ text }) => h('td', { class: 'number' }, text)));
  return h('details', { class: 'as-table', id: `table-${id}` },
    h('summary', null, 'Show as table'),
    h('div', { class: 'scroll', role: 'region', tabindex: '0', 'aria-label': `${title}, as a table` },
      h('table', null,
        h('caption', { class: 'unseen' }, title),
        h('thead', null, h('tr', null, h('th', { scope: 'col' }, rowHead),
          columns.map((name) => h('th', { scope: 'col', class: 'number' }, name)))),
        h('tbody', null, labels.map(row)))));
}

function told(series) {
  return series.filter(({ aside }) => !aside);
}

function shapeOf({ kind, dash }) {
  return { bar: 'box', mark: 'mark' }[kind] ?? dash ?? 'solid';
}

/** All exact figures at a place: what tooltip and table say. */
export function valuesAt({ series, extra = [] }, index) {
  return [
    ...told(series).map(({ name, values, color, kind, dash, show = count }) => ({
      name, color, shape: shapeOf({ kind, dash }), text: values[index] === null && show === count ? '–' : show(values[index]),
    })),
    ...extra.map(({ name, show }) => ({ name, text: show(index) })),
  ];
}

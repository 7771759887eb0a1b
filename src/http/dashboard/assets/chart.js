// Drawing with plotly.js: static pictures, drawn anew when figures, theme or width change. Hovering and keys are ours
// (tooltip.js), because plotly.js knows no keyboard.

import { attach } from './tooltip.js';

// plotly.js takes the browser longer to read than all the rest of the page, and nothing else moves meanwhile. So it is
// read when all figures of the view are on the screen, or when one of them has kept it waiting for so long.
const WAIT_AT_MOST_MS = 2000;

const source = document.querySelector('meta[name="plotly"]').content;
let ahead = false;
let reading = null;
let late = null;
let wanted = [];
const drawn = new Map();

/** Has plotly.js fetched, after whatever else is being fetched, so that it is there when it is to be read. */
export function fetchAhead() {
  if (ahead || globalThis.Plotly) return;
  ahead = true;
  // Whether it worked shows when the script is loaded.
  fetch(source, { priority: 'low' }).then((answer) => answer.arrayBuffer()).catch(() => {});
}

/** Draws the charts of the page, and lets go of those that are not on it any more. `complete`: no figures are awaited. */
export function drawAll(charts, complete) {
  wanted = charts;
  if (globalThis.Plotly) return drawWanted(globalThis.Plotly);
  if (charts.length === 0 || reading) return undefined;
  if (complete) return read();
  late ??= setTimeout(read, WAIT_AT_MOST_MS);
  return undefined;
}

function read() {
  clearTimeout(late);
  late = null;
  reading ??= painted().then(load).then(drawWanted, () => {
    for (const { id } of wanted) withoutDrawing(id);
  }).finally(() => { reading = null; });
}

function painted() {
  return new Promise((resolve) => { requestAnimationFrame(() => setTimeout(resolve)); });
}

function load() {
  return new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = source;
    script.async = true;
    script.onload = () => resolve(globalThis.Plotly);
    script.onerror = () => {
      script.remove();
      reject(new Error('plotly.js could not be loaded'));
    };
    document.head.append(script);
  });
}

function drawWanted(Plotly) {
  for (const [plot, { observer, done }] of drawn) {
    if (plot.isConnected) continue;
    observer.disconnect();
    drawn.delete(plot);
    // plotly.js goes on with a drawing for a while after `react` has returned, and fails on what has been purged.
    const purge = () => setTimeout(() => Plotly.purge(plot));
    done.then(purge, purge);
  }
  for (const chart of wanted) {
    const plot = document.getElementById(`plot-${chart.id}`);
    if (plot) draw(Plotly, plot, chart);
  }
}

/** Draws all charts again, after a change of theme. */
export function redraw() {
  for (const [plot, { chart }] of drawn) if (plot.isConnected) draw(globalThis.Plotly, plot, chart);
}

function withoutDrawing(id) {
  const plot = document.getElementById(`plot-${id}`);
  if (!plot) return;
  plot.textContent = 'The drawing could not be loaded. The table below has the same figures.';
  const table = document.getElementById(`table-${id}`);
  if (table) table.open = true;
}

function draw(Plotly, plot, chart) {
  const seen = drawn.get(plot);
  if (chart.horizontal) plot.style.setProperty('height', `${chart.labels.length * 3.4 + 3}rem`);
  const size = sizeOf(plot, chart);
  const signature = JSON.stringify([chart, size, color('text'), color('surface')]);
  if (seen?.signature === signature || size.width === 0) return;
  if (!seen) plot.textContent = '';
  const { data, layout } = chart.gauge ? gauge(chart.gauge, size) : picture(chart, size);
  const done = Plotly.react(plot, data, layout, { staticPlot: true, displayModeBar: false, responsive: false });
  for (const svg of plot.querySelectorAll('svg')) svg.setAttribute('aria-hidden', 'true');
  for (const svg of plot.querySelectorAll('.main-svg')) svg.setAttribute('viewBox', `0 0 ${size.width} ${size.height}`);
  const observer = seen?.observer ?? observe(Plotly, plot);
  drawn.set(plot, { chart, signature, observer, done });
  if (!chart.gauge) attach(plot, chart);
}

// On paper a drawing takes the width of the page, whatever that is, so it is drawn for a usual one and scaled.
function sizeOf(plot, chart) {
  if (!document.documentElement.classList.contains('printing')) {
    return { width: plot.clientWidth, height: plot.clientHeight, letters: parseFloat(getComputedStyle(plot).fontSize) };
  }
  if (chart.gauge) return { width: 320, height: 168, letters: 14 };
  return { width: 720, height: chart.horizontal ? chart.labels.length * 30 + 36 : 200, letters: 12 };
}

function observe(Plotly, plot) {
  const observer = new ResizeObserver(() => {
    const { chart } = drawn.get(plot) ?? {};
    if (chart && plot.isConnected) draw(Plotly, plot, chart);
  });
  observer.observe(plot);
  return observer;
}

/** The colour of that name in the theme of now. */
function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// plotly.js reads a little HTML in its texts, so what comes from reports is escaped.
function plain(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function shorten(text, most) {
  const letters = [...text];
  return letters.length > most ? `${letters.slice(0, most - 1).join('')}…` : text;
}

function picture(chart, size) {
  const across = chart.labels.map((_, index) => index);
  const data = [
    ...(chart.bands ?? []).flatMap((band) => bandTraces(band, across)),
    ...chart.series.map((series) => trace(series, chart, across)),
  ];
  return { data, layout: layout(chart, size) };
}

function bandTraces({ lower, upper, color: name, pattern }, x) {
  const edge = { x, type: 'scatter', mode: 'lines', line: { width: 0, shape: 'hvh' }, hoverinfo: 'skip' };
  const area = { fill: 'tonexty', fillcolor: color(`color-${name}`) };
  if (pattern) {
    area.fillpattern = { shape: pattern, size: 6, solidity: 0.35, fgcolor: color(`color-${name}`), bgcolor: 'rgba(0,0,0,0)' };
  }
  return [{ ...edge, y: lower }, { ...edge, y: upper, ...area }];
}

function trace(series, chart, across) {
  const tint = color(`color-${series.color}`);
  const common = { name: plain(series.name), hoverinfo: 'skip' };
  if (series.kind === 'bar') {
    // What is not over yet is hatched: more may come. What the range cuts is dotted: it has fewer days than its neighbours.
    const last = chart.labels.length - 1;
    const shape = across.map((index) => (chart.partial && index === last ? '/' : chart.cut?.[index] ? '.' : ''));
    return {
      ...common, type: 'bar', orientation: chart.horizontal ? 'h' : 'v',
      x: chart.horizontal ? series.values : across, y: chart.horizontal ? across : series.values,
      marker: {
        color: color(`fill-${series.color}`) || tint, line: { color: tint, width: 1.5 },
        pattern: { shape, fgcolor: tint, bgcolor: color('surface'), size: 6, solidity: 0.4 },
      },
    };
  }
  const few = chart.labels.length <= 40;
  return {
    ...common, type: 'scatter', mode: few ? 'lines+markers' : 'lines', x: across, y: series.values,
    line: { color: tint, width: 2.5, dash: series.dash ?? 'solid', shape: series.kind === 'step' ? 'hvh' : 'linear' },
    marker: { color: tint, size: 5, symbol: series.symbol ?? 'circle' },
  };
}

function layout(chart, { width, height, letters }) {
  const places = chart.labels.length;
  const large = Math.max(12, Math.round(letters * 0.85));
  const amount = {
    rangemode: 'tozero', gridcolor: color('grid'), zerolinecolor: color('axis'), fixedrange: true, automargin: true,
    ...amountTicks(chart),
  };
  const longest = chart.ticks.reduce((most, { length }) => Math.max(most, length), 0);
  const step = Math.max(1, Math.ceil((places * large * (longest * 0.6 + 1)) / Math.max(width - 60, 100)));
  const shown = chart.labels.map((_, index) => index).filter((index) => chart.horizontal || index % step === 0);
  const name = (index) => plain(shorten(chart.ticks[index], width < 500 ? 16 : 32));
  const place = {
    range: chart.horizontal ? [places - 0.5, -0.5] : [-0.5, places - 0.5], tickvals: shown, ticktext: shown.map(name),
    showgrid: false, zeroline: false, linecolor: color('axis'), showline: true, fixedrange: true, automargin: true, tickangle: 0,
  };
  return {
    width, height, margin: { l: 44, r: 12, t: 10, b: 32 },
    paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', showlegend: false, dragmode: false, hovermode: false,
    barmode: chart.stacked ? 'stack' : 'group', bargap: 0.3, bargroupgap: 0.08,
    font: { family: 'system-ui, sans-serif', size: large, color: color('muted') },
    xaxis: chart.horizontal ? amount : place, yaxis: chart.horizontal ? place : amount,
  };
}

// People and tests come in whole numbers, so the axis has no fractions, and a report of zeros still has a scale.
function amountTicks({ series, stacked }) {
  const heights = series[0].values.map((_, index) => {
    const here = series.map(({ values }) => values[index] ?? 0);
    return stacked ? here.reduce((sum, value) => sum + value, 0) : Math.max(...here);
  });
  const most = heights.reduce((high, height) => Math.max(high, height), 0);
  if (most <= 5) return { range: [0, Math.max(1, most) * 1.1], dtick: 1, tickformat: 'd' };
  // Of the SI prefixes plotly.js knows one for billions that people read, but only without a format.
  return most < 100_000 ? { nticks: 6, tickformat: ',d' } : { nticks: 6, exponentformat: 'B' };
}

function gauge({ used, quota, allowance, level }, { width, height, letters }) {
  const most = Math.max(allowance, used, 1);
  const size = Math.max(11, Math.round(letters * 0.8));
  // plotly.js draws the arc in the middle of its place, with a radius of at most three quarters of the height.
  const side = Math.round(letters * 3.6);
  const top = Math.round(letters * 0.4);
  const bottom = Math.max(0, Math.round(height - top - (width / 2 - side) * 1.34));
  const steps = [{ range: [0, quota], color: color('gauge-quota') }];
  if (allowance > quota) steps.push({ range: [quota, allowance], color: color('gauge-grace') });
  const marks = [...new Set([0, quota, allowance])];
  return {
    data: [{
      type: 'indicator', mode: 'gauge', value: used,
      gauge: {
        shape: 'angular', bar: { color: color(`level-${level}`), thickness: 0.62 }, borderwidth: 0, bgcolor: color('gauge-quota'),
        axis: { range: [0, most], tickvals: marks, ...(most < 100_000 ? { tickformat: ',d' } : { exponentformat: 'B' }), tickcolor: color('axis'), tickfont: { size } },
        steps, threshold: { line: { color: color('text'), width: 3 }, thickness: 0.9, value: quota },
      },
    }],
    layout: {
      width, height, margin: { l: side, r: side, t: top, b: bottom },
      paper_bgcolor: 'rgba(0,0,0,0)', font: { family: 'system-ui, sans-serif', color: color('muted') },
    },
  };
}

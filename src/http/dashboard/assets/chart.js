// Drawing with plotly.js: static pictures, drawn anew when figures, theme or width change. Hovering and keys are ours
// (tooltip.js), because plotly.js knows no keyboard.

import { attach } from './tooltip.js';

let plotly = null;
const drawn = new Map();

/** Loads plotly.js once. It is large, so the page shows its figures before it. */
function load() {
  plotly ??= new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = document.getElementById('plotly-source').href;
    script.async = true;
    script.onload = () => resolve(globalThis.Plotly);
    script.onerror = () => {
      plotly = null;
      script.remove();
      reject(new Error('plotly.js could not be loaded'));
    };
    document.head.append(script);
  });
  return plotly;
}

/** Draws the charts that are on the page, and lets go of those that are not any more. */
export async function drawAll(charts) {
  let Plotly;
  try {
    Plotly = await load();
  } catch {
    for (const { id } of charts) withoutDrawing(id);
    return;
  }
  for (const [plot, { observer }] of drawn) {
    if (plot.isConnected) continue;
    observer.disconnect();
    Plotly.purge(plot);
    drawn.delete(plot);
  }
  for (const chart of charts) {
    const plot = document.getElementById(`plot-${chart.id}`);
    if (plot) draw(Plotly, plot, chart);
  }
}

/** Draws all charts again, after a change of theme. */
export async function redraw() {
  if (drawn.size === 0) return;
  const Plotly = await load();
  for (const [plot, { chart }] of drawn) if (plot.isConnected) draw(Plotly, plot, chart);
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
  Plotly.react(plot, data, layout, { staticPlot: true, displayModeBar: false, responsive: false });
  for (const svg of plot.querySelectorAll('svg')) svg.setAttribute('aria-hidden', 'true');
  for (const svg of plot.querySelectorAll('.main-svg')) svg.setAttribute('viewBox', `0 0 ${size.width} ${size.height}`);
  const observer = seen?.observer ?? observe(Plotly, plot);
  drawn.set(plot, { chart, signature, observer });
  if (!chart.gauge) attach(plot, chart);
}

// On paper a drawing takes the width of the page, whatever that is, so it is drawn for a usual one and scaled.
function sizeOf(plot, chart) {
  if (!document.documentElement.classList.contains('printing')) {
    return { width: plot.clientWidth, height: plot.clientHeight, letters: parseFloat(getComputedStyle(plot).fontSize) };
  }
  if (chart.gauge) return { width: 320, height: 200, letters: 14 };
  return { width: 720, height: chart.horizontal ? chart.labels.length * 40 + 40 : 300, letters: 13 };
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
    // What is not over yet is hatched: more may come.
    const last = chart.labels.length - 1;
    const shape = across.map((index) => (chart.partial && index === last ? '/' : ''));
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
  const step = Math.max(1, Math.ceil((places * large * 5.5) / Math.max(width - 60, 100)));
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
  return { nticks: 6, tickformat: most < 100_000 ? ',d' : '~s' };
}

function gauge({ used, quota, allowance, level }, { width, height, letters }) {
  const most = Math.max(allowance, used, 1);
  const size = Math.max(11, Math.round(letters * 0.8));
  const steps = [{ range: [0, quota], color: color('gauge-quota') }];
  if (allowance > quota) steps.push({ range: [quota, allowance], color: color('gauge-grace') });
  const marks = [...new Set([0, quota, most])];
  return {
    data: [{
      type: 'indicator', mode: 'gauge', value: used,
      gauge: {
        shape: 'angular', bar: { color: color(`level-${level}`), thickness: 0.62 }, borderwidth: 0, bgcolor: color('gauge-quota'),
        axis: { range: [0, most], tickvals: marks, tickformat: most < 100_000 ? ',d' : '~s', tickcolor: color('axis'), tickfont: { size } },
        steps, threshold: { line: { color: color('text'), width: 3 }, thickness: 0.9, value: quota },
      },
    }],
    layout: {
      width, height, margin: { l: 58, r: 58, t: 26, b: 8 },
      paper_bgcolor: 'rgba(0,0,0,0)', font: { family: 'system-ui, sans-serif', color: color('muted') },
    },
  };
}

// Which charts are on the page, and when they are drawn: anew when figures or width change, and for paper. Hovering and
// keys are in tooltip.js, the drawing itself in drawing.js.

import { drawing } from './drawing.js';
import { attach } from './tooltip.js';

const drawn = new Map();

/** Draws the charts of the page, and lets go of those that are not on it any more. */
export function drawAll(charts) {
  for (const [plot, { observer }] of drawn) {
    if (plot.isConnected) continue;
    observer.disconnect();
    drawn.delete(plot);
  }
  for (const chart of charts) {
    const plot = document.getElementById(`plot-${chart.id}`);
    if (plot) draw(plot, chart);
  }
}

/** Draws all charts again, for paper and after it. */
export function redraw() {
  for (const [plot, { chart }] of drawn) if (plot.isConnected) draw(plot, chart);
}

function draw(plot, chart) {
  const seen = drawn.get(plot);
  const size = sizeOf(plot);
  const signature = JSON.stringify([chart, size]);
  if (size.width === 0) return;
  if (seen?.signature === signature) seen.chart = chart;
  else {
    const { svg, area } = drawing(chart, size);
    plot.replaceChildren(svg);
    drawn.set(plot, { chart, signature, area, observer: seen?.observer ?? observe(plot) });
  }
  attach(plot, chart, drawn.get(plot).area);
}

// On paper a drawing takes the width of the page, whatever that is, so it is drawn for a usual one and scaled.
function sizeOf(plot) {
  if (document.documentElement.classList.contains('printing')) return { width: 720, height: 200, letters: 12 };
  return { width: plot.clientWidth, height: plot.clientHeight, letters: parseFloat(getComputedStyle(plot).fontSize) };
}

function observe(plot) {
  const observer = new ResizeObserver(() => {
    const { chart } = drawn.get(plot) ?? {};
    if (chart && plot.isConnected) draw(plot, chart);
  });
  observer.observe(plot);
  return observer;
}

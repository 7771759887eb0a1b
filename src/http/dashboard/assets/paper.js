// Paper shows all figures and is white.

import { redraw } from './chart.js';

let opened = [];

window.addEventListener('beforeprint', () => {
  opened = [...document.querySelectorAll('details.as-table:not([open])')];
  for (const details of opened) details.open = true;
  document.documentElement.classList.add('printing');
  redraw();
});

window.addEventListener('afterprint', () => {
  for (const details of opened) details.open = false;
  document.documentElement.classList.remove('printing');
  redraw();
});

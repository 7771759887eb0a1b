// The organization filter: a tree to walk with the arrow keys and to search in.

import { h, patch } from './dom.js';
import { folded, named, namedPath, shown } from './names.js';

/** The organizations as a tree: `{ id, name, path, children, level }`. */
export function tree(organizations) {
  const nodes = new Map(organizations.map((organization) => [organization.organization_id, {
    id: organization.organization_id, name: shown(organization.name, organization.organization_id),
    path: shown(organization.path, organization.organization_id), parent: organization.parent_id, children: [],
  }]));
  const roots = [];
  for (const node of nodes.values()) {
    const parent = node.parent === node.id ? undefined : nodes.get(node.parent);
    (parent?.children ?? roots).push(node);
  }
  const placed = new Set();
  const place = (node, level) => {
    node.level = level;
    placed.add(node);
    for (const child of node.children) place(child, level + 1);
  };
  for (const root of roots) place(root, 1);
  // Organizations whose parents form a circle hang below no root. They are listed all the same, each on its own.
  for (const node of nodes.values()) if (!placed.has(node)) roots.push({ ...node, level: 1, children: [] });
  return { roots, byId: nodes };
}

/**
 * The field that shows the chosen organization and opens the tree. `whole` is the choice of none, or null. While the
 * organizations are not known there is nothing to choose.
 */
export function organizationField({ chosen, organizations, whole }) {
  const name = chosen ? organizations?.byId.get(chosen)?.path ?? chosen : whole;
  return h('div', { class: 'field', 'data-key': 'organization' },
    h('span', { class: 'label', id: 'organization-label' }, 'Organization'),
    h('button', {
      type: 'button', class: 'choice', id: 'organization', 'data-action': 'open-organizations', 'aria-haspopup': 'dialog', disabled: !organizations,
      'aria-labelledby': 'organization-label organization-name',
    }, h('span', { id: 'organization-name', class: 'choice-name', title: name }, namedPath(name ?? 'Choose…'))));
}

let dialog = null;

/** Opens the tree over the page and calls `choose` with the organization's id, or null for all of them. */
export function openOrganizations({ organizations, chosen, whole, choose }) {
  dialog?.remove();
  const open = new Set(chosen ? ancestors(organizations, chosen) : []);
  if (organizations.byId.size <= 60) for (const id of organizations.byId.keys()) open.add(id);
  const state = { organizations, chosen, whole, open, search: '' };
  dialog = h('dialog', { class: 'picker', 'aria-labelledby': 'picker-title' },
    h('div', { class: 'dialog-head' },
      h('h2', { id: 'picker-title' }, 'Choose an organization'),
      h('button', { type: 'button', class: 'quiet', 'data-picker': 'close' }, 'Close')),
    h('label', { class: 'field' }, h('span', { class: 'label' }, 'Search'),
      h('input', { type: 'search', id: 'picker-search', autocomplete: 'off', autofocus: true })),
    h('ul', { role: 'tree', 'aria-label': 'Organizations', class: 'tree', id: 'picker-tree' }),
    h('p', { class: 'note', id: 'picker-none', hidden: true }, 'No organization has that in its name or id.'));
  document.body.append(dialog);
  listen(dialog, state, choose);
  fill(state);
  dialog.showModal();
}

/** Closes the tree, where it is open. */
export function closeOrganizations() {
  if (dialog?.open) dialog.close();
}

/** The organization and those above it, upwards. */
export function ancestors({ byId }, id) {
  const path = [];
  for (let node = byId.get(id); node && !path.includes(node.id); node = byId.get(node.parent)) path.push(node.id);
  return path.length > 0 ? path : [id];
}

function listen(element, state, choose) {
  const search = element.querySelector('#picker-search');
  search.addEventListener('input', () => {
    state.search = folded(search.value.trim());
    fill(state);
  });
  element.addEventListener('click', (event) => {
    if (event.target.closest('[data-picker="close"]')) return element.close();
    const item = event.target.closest('[role="treeitem"]');
    if (!item) return undefined;
    if (event.target.closest('.twig')) return toggle(state, item);
    element.close();
    return choose(item.dataset.id === '' ? null : item.dataset.id);
  });
  element.addEventListener('keydown', (event) => walk(event, state, element, choose));
  element.addEventListener('close', () => {
    element.remove();
    document.getElementById('organization')?.focus();
  });
}

function toggle(state, item, wanted = !state.open.has(item.dataset.id)) {
  if (wanted) state.open.add(item.dataset.id);
  else state.open.delete(item.dataset.id);
  fill(state);
}

function walk(event, state, element, choose) {
  const item = event.target.closest('[role="treeitem"]');
  const items = [...element.querySelectorAll('[role="treeitem"]')];
  if (!item) {
    if (event.key === 'ArrowDown' && event.target.id === 'picker-search') {
      event.preventDefault();
      items[0]?.focus();
    }
    return;
  }
  const at = items.indexOf(item);
  const expanded = item.getAttribute('aria-expanded');
  const go = { ArrowDown: items[at + 1], ArrowUp: items[at - 1] ?? element.querySelector('#picker-search'), Home: items[0], End: items.at(-1) };
  if (event.key in go) go[event.key]?.focus();
  else if (event.key === 'ArrowRight' && expanded === 'false') toggle(state, item, true);
  else if (event.key === 'ArrowRight') items[at + 1]?.focus();
  else if (event.key === 'ArrowLeft' && expanded === 'true') toggle(state, item, false);
  else if (event.key === 'ArrowLeft') items.slice(0, at).reverse().find((above) => Number(above.ariaLevel) < Number(item.ariaLevel))?.focus();
  else if (event.key === 'Enter' || event.key === ' ') {
    element.close();
    choose(item.dataset.id === '' ? null : item.dataset.id);
  } else return;
  event.preventDefault();
}

// The tree is flat in the document, with levels said in ARIA: that is allowed, and simple to update.
function fill({ organizations, chosen, whole, open, search }) {
  const rows = [];
  if (whole && !search) rows.push(row({ id: '', name: whole, level: 1, children: [] }, chosen ?? '', false));
  const visit = (node) => {
    const found = !search || folded(`${node.path}\n${node.id}`).includes(search);
    if (found) rows.push(row(node, chosen, search !== '' || open.has(node.id), search !== ''));
    if (search || open.has(node.id)) node.children.forEach(visit);
  };
  organizations.roots.forEach(visit);
  if (!rows.some((item) => item.tabIndex === 0)) rows[0]?.setAttribute('tabindex', '0');
  patch(document.getElementById('picker-tree'), rows);
  document.getElementById('picker-none').hidden = rows.length > 0;
}

function row(node, chosen, expanded, whole = false) {
  const branch = node.children.length > 0 && !whole;
  return h('li', {
    role: 'treeitem', tabindex: node.id === chosen ? '0' : '-1', class: `level-${Math.min(node.level, 8)}`,
    'data-key': `organization-${node.id}`, 'data-id': node.id, 'aria-level': node.level,
    'aria-selected': node.id === chosen ? 'true' : 'false', 'aria-expanded': branch ? String(expanded) : null,
  },
  h('span', { class: branch ? 'twig' : 'leaf', 'aria-hidden': 'true' }, branch ? (expanded ? '▾' : '▸') : ''),
  h('span', null, whole ? namedPath(node.path) : named(node.name)),
  node.id && node.id !== node.name ? h('span', { class: 'id' }, named(node.id)) : null);
}

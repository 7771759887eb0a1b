// What the page says when there is no report to show.

/** The words for an error: a title, a sentence or two, and what the person can do. `thing` names what was asked for. */
export function describe(error, { account, thing = 'report' }) {
  switch (error.kind) {
    case 'unauthorized':
      return { title: 'A token is needed', text: 'The API does not know who is asking.', action: 'token' };
    case 'forbidden':
      return {
        title: 'Your token does not open this',
        text: `The ${thing} of account “${account}” is for other roles than yours, or there is nothing by that name. License reports are for account admins; usage and quota are for the owner, the admins and the billing managers of the organization.`,
        action: 'token',
      };
    case 'not_found':
      return {
        title: 'Nothing counted yet',
        text: `No event of account “${account}” has been counted so far. Check the account id; if it is right, the report appears here with its first event.`,
      };
    case 'bad_request':
      return { title: 'The API cannot answer this', text: error.problem?.detail ?? 'One of the filters has a value that makes no sense.' };
    case 'busy':
      return { title: 'The figures cannot be read right now', text: `${error.problem?.detail ?? 'The API is busy.'} This page goes on asking by itself.` };
    case 'away':
      return { title: 'The API does not answer', text: 'It may be restarting, or the network is down. This page goes on asking and shows the report as soon as it can.' };
    default:
      return {
        title: 'The API could not draw up this report',
        text: `${error.problem?.detail ?? `It answered with an error (${error.status}) and has logged why.`} This page goes on asking by itself.`,
      };
  }
}

/** The one line that stands above figures that could not be refreshed. */
export function notRefreshed(error) {
  if (error.kind === 'away') return 'The API does not answer. These are the last figures it gave; this page goes on asking.';
  const why = error.kind === 'busy' ? 'The figures cannot be read right now.' : `The API could not refresh this report (error ${error.status}).`;
  return `${why} These are the last figures it gave; this page goes on asking.`;
}

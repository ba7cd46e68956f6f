// The list of builds: rows are asked for anew every other second while somebody looks.
const body = document.querySelector('tbody');
let known = body.innerHTML;

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch('/rows');
    const rows = await answer.text();
    document.getElementById('lost').hidden = true;
    if (!answer.ok || rows === known) return;
    known = rows;
    const focused = document.activeElement?.getAttribute('href');
    body.innerHTML = rows;
    if (focused) body.querySelector(`a[href="${focused}"]`)?.focus();
  } catch {
    document.getElementById('lost').hidden = false;
  }
}

setInterval(refresh, 2000);
document.addEventListener('visibilitychange', refresh);

// Show the claims that the form asks for, and of each the verdicts; without this script there is no form, and all are shown.
const form = document.querySelector("form.filter");
if (form) {
  const claims = [...document.querySelectorAll(".claims > li")];
  const told = (item, kind) => item.querySelector(kind).lastChild.textContent.trim();
  const show = () => {
    const text = form.elements.text.value.trim().toLowerCase();
    const [verdict, evidence] = [form.elements.verdict.value, form.elements.evidence.value];
    let shown = 0;
    for (const claim of claims) {
      const fits = [...claim.querySelectorAll(".verdicts > li")].filter((item) =>
        (!verdict || told(item, ".verdict") === verdict) && (!evidence || told(item, ".evidence") === evidence));
      claim.hidden = !(fits.length && claim.textContent.toLowerCase().includes(text));
      shown += !claim.hidden;
      const folded = claim.closest("details");
      if (folded && !claim.hidden && (text || verdict || evidence)) folded.open = true;
    }
    form.querySelector("output").textContent = text || verdict || evidence ? `${shown} of ${claims.length} claims` : "";
  };
  form.hidden = false;
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
}

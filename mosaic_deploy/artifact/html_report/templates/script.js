"use strict";
for (const figure of document.querySelectorAll("[data-picture]")) {
  const slider = figure.querySelector("input");
  const buttons = figure.querySelectorAll("button");
  const maps = figure.querySelectorAll("[data-layer]");
  const [left, right] = figure.querySelectorAll(".side");
  const names = { float: "Float", target: "Target", truth: "Truth", input: "Input", difference: "Change" };
  const draw = () => {
    const at = Number(slider.value);
    const { left: one, right: other } = figure.dataset;
    for (const map of maps) {
      const layer = map.dataset.layer;
      map.hidden = layer !== one && layer !== other;
      map.style.clipPath = layer === one ? `inset(0 ${100 - at}% 0 0)` : `inset(0 0 0 ${at}%)`;
    }
    figure.querySelector(".stage").style.setProperty("--at", `${at}%`);
    left.textContent = names[one];
    right.textContent = names[other];
    left.hidden = at < 12;
    right.hidden = at > 88;
    for (const legend of figure.querySelectorAll("[data-legend]")) {
      legend.hidden = (legend.dataset.legend === "change") !== (other === "difference");
    }
  };
  slider.addEventListener("input", draw);
  for (const button of buttons) {
    button.addEventListener("click", () => {
      figure.dataset.left = button.dataset.left;
      figure.dataset.right = button.dataset.right;
      for (const each of buttons) each.setAttribute("aria-pressed", String(each === button));
      draw();
    });
  }
  draw();
}
const unfold = () => {
  const found = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const folded = found && found.closest("details");
  if (folded) folded.open = true;
};
addEventListener("hashchange", unfold);
unfold();

// Runs before the page is painted, so that it never flashes in the wrong theme. Therefore it is not a module.
"use strict";

(function () {
  const THEMES = ["system", "light", "dark"];

  function stored() {
    try {
      const found = localStorage.getItem("underpaint.theme");
      return THEMES.includes(found) ? found : "system";
    } catch {
      return "system"; // storage may be forbidden
    }
  }

  function show(theme) {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }

  show(stored());
  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme-button");
    const showName = () => (document.getElementById("theme").textContent = stored());
    button.addEventListener("click", () => {
      const theme = THEMES[(THEMES.indexOf(stored()) + 1) % THEMES.length];
      try {
        localStorage.setItem("underpaint.theme", theme);
      } catch {
        // without storage it lasts until the page is closed
      }
      show(theme);
      showName();
    });
    addEventListener("storage", () => {
      show(stored());
      showName();
    });
    showName();
  });
})();

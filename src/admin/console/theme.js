// Light, dark, or as the system has it.

const KEY = "skyvis-theme";
export const THEMES = ["auto", "light", "dark"];

export const theme = () => {
  const chosen = localStorage.getItem(KEY);
  return THEMES.includes(chosen) ? chosen : "auto";
};

const apply = () => {
  if (theme() === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme();
  dispatchEvent(new CustomEvent("skyvis-theme"));
};

export function setTheme(name) {
  localStorage.setItem(KEY, name);
  apply();
}

matchMedia("(prefers-color-scheme: light)").addEventListener("change", apply);
apply();

import { words } from "./words.js";
const page = document.getElementById("page");
page.innerHTML = localStorage.getItem("text") ?? "";
page.addEventListener("input", () => {
  localStorage.setItem("text", page.innerHTML);
  document.getElementById("count").textContent = `${words(page.textContent)} words`;
});
document.getElementById("bold").addEventListener("mousedown", (e) => { e.preventDefault(); document.execCommand("bold"); });

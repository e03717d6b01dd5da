import{d as c,j as e}from"./common.fc18dbd5.js";document.querySelectorAll(".answer").forEach(c),document.addEventListener("click",({target:t})=>{const o=t.closest("[data-action]");o?.dataset.action==="copy-link"&&e(o,location.href.replace(/#.*/,"")),o?.dataset.action==="copy-code"&&e(o,o.closest(".code").querySelector("code").textContent)});
//# sourceMappingURL=shared.cde9681e.js.map

import{d as c,m as e}from"./common.a47eaddc.js";document.querySelectorAll(".answer").forEach(c),document.addEventListener("click",({target:t})=>{const o=t.closest("[data-action]");o?.dataset.action==="copy-link"&&e(o,location.href.replace(/#.*/,"")),o?.dataset.action==="copy-code"&&e(o,o.closest(".code").querySelector("code").textContent)});
//# sourceMappingURL=shared.459ddd82.js.map

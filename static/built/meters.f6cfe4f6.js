import{f as n}from"./app.78cf39b0.js";import{U as o}from"./common.03e592fb.js";async function c(t){const e=document.getElementById("context");if(!(!e||!t))try{e.replaceWith(await n(`/c/${t}/context/`))}catch(r){if(!(r instanceof o))throw r}}export{c as measure};
//# sourceMappingURL=meters.f6cfe4f6.js.map

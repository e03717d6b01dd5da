import{f as n}from"./app.eda3c4d5.js";import{U as o}from"./common.8fa17f62.js";async function c(t){const e=document.getElementById("context");if(!(!e||!t))try{e.replaceWith(await n(`/c/${t}/context/`))}catch(r){if(!(r instanceof o))throw r}}export{c as measure};
//# sourceMappingURL=meters.cbf3a3d3.js.map

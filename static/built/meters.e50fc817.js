import{f as n}from"./app.ae0db367.js";import{U as o}from"./common.35deaf56.js";async function c(t){const e=document.getElementById("context");if(!(!e||!t))try{e.replaceWith(await n(`/c/${t}/context/`))}catch(r){if(!(r instanceof o))throw r}}export{c as measure};
//# sourceMappingURL=meters.e50fc817.js.map

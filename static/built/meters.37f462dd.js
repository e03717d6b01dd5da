import{f as n}from"./app.5edd44b3.js";import{U as o}from"./common.a47eaddc.js";async function c(t){const e=document.getElementById("context");if(!(!e||!t))try{e.replaceWith(await n(`/c/${t}/context/`))}catch(r){if(!(r instanceof o))throw r}}export{c as measure};
//# sourceMappingURL=meters.37f462dd.js.map

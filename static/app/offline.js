// On the page shown offline: the page that was asked for, as soon as there is a connection again.
addEventListener("online", () => location.reload());
document.querySelector("[data-again]").addEventListener("click", () => location.reload());

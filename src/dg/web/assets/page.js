// The terminal takes keys only while its own field has the focus; before its socket is open, it fails at that.
"use strict";

const take = () => {
    if (document.body.classList.contains("-first-byte")) {
        document.querySelector(".xterm-helper-textarea")?.focus();
    }
};

window.addEventListener("load", () => {
    new MutationObserver(take).observe(document.body, { attributeFilter: ["class"] });
    window.addEventListener("focus", take);
});

/** The page of all accounts: copies links. */

import {bindCopy} from "../copy.js";

for (const button of document.querySelectorAll("[data-copy]")) {
    bindCopy(button, document.getElementById(button.dataset.copy));
}

"use strict";
// The page of the simulated Slack: the server draws, this sends what a person does and takes over what changed.

const where = new URLSearchParams(location.search);
const drawn = {};
let revision = 0;
let turns = 0;
let release = () => {};
let released = Promise.resolve();

const $ = (id) => document.getElementById(id);

function notice(text) {
    $("notice").textContent = text;
    $("notice").hidden = !text;
}

async function send(name, order) {
    notice("");
    const answer = await fetch(`/sim/${name}`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ person: where.get("as"), ...order }),
    });
    const said = await answer.json();
    if (!answer.ok) {
        notice(said.error);
    } else if (said.asked && !said.ok) {
        notice(`The app did not take it: ${said.error}.`);
    }
    return said;
}

// Looking

function go(changes) {
    for (const [name, value] of Object.entries(changes)) {
        if (value) {
            where.set(name, value);
        } else {
            where.delete(name);
        }
    }
    history.replaceState(null, "", `?${where}`);
    return draw();
}

async function draw() {
    const turn = ++turns;
    const answer = await fetch(`/sim/regions?${where}`);
    const found = await answer.json();
    await released;
    // Only what was asked for last says where we are: a late answer would lead back to where we were.
    if (turn < turns) {
        return;
    }
    if (!answer.ok) {
        notice(found.error);
        return;
    }
    revision = Math.max(revision, found.revision);
    where.set("as", found.where.as);
    where.set("channel", found.where.channel);
    for (const [id, html] of Object.entries(found.regions)) {
        if (drawn[id] !== html) {
            put(id, html);
        }
    }
    $("side").hidden = !found.regions.thread;
    $("modal").hidden = !found.regions.modal;
    $("composer").hidden = where.get("channel") === "home";
    document.body.dataset.ready = String(found.revision);
}

function put(id, html) {
    const region = $(id);
    const before = region.querySelector("[data-shown]")?.dataset.shown;
    const end = region.scrollHeight - region.scrollTop - region.clientHeight < 80;
    const fresh = document.createElement("div");
    fresh.innerHTML = html;
    drawn[id] = html;
    // What was typed into a modal stays while the app shows nothing else in it.
    if (id === "modal" && before && fresh.querySelector("[data-shown]")?.dataset.shown === before) {
        return;
    }
    const kept = id === "modal" ? typed(region) : new Map();
    region.replaceChildren(...fresh.childNodes);
    for (const [name, value] of kept) {
        const field = [...region.querySelectorAll("[data-act=type]")].find((each) => key(each) === name);
        if (field) {
            field.value = value;
        }
    }
    if (id === "modal") {
        region.querySelector("textarea, input, select, footer button")?.focus();
    }
    if (id === "messages" && end) {
        region.scrollTop = region.scrollHeight;
    }
}

const key = (field) => `${field.closest("[data-block]").dataset.block} ${field.dataset.action}`;
const typed = (region) =>
    new Map([...region.querySelectorAll("[data-act=type]")].map((field) => [key(field), field.value]));

async function watch() {
    for (;;) {
        try {
            const answer = await fetch(`/sim/changes?after=${revision}`);
            const found = await answer.json();
            if (found.revision > revision) {
                revision = found.revision;
                await draw();
            }
        } catch {
            notice("The simulator does not answer.");
            await new Promise((wake) => setTimeout(wake, 1000));
        }
    }
}

// Acting

function place(element) {
    const holder = element.closest("[data-surface]");
    const { surface, channel, ts } = holder.dataset;
    return surface === "message" ? { surface, channel, ts } : { surface };
}

function asked(element) {
    const question = element.nextElementSibling;
    return question?.matches("template.confirm") ? question : null;
}

function sure(template) {
    if (!template) {
        return Promise.resolve(true);
    }
    // Each question has a dialog of its own: the one before may not have said yet that it was closed.
    const dialog = $("confirm").cloneNode();
    $("confirm").replaceWith(dialog);
    dialog.append(template.content.cloneNode(true));
    dialog.addEventListener("click", (event) => {
        const button = event.target.closest("button");
        if (button) {
            dialog.close(button.value);
        }
    });
    const decided = new Promise((decide) => {
        dialog.addEventListener("close", () => decide(dialog.returnValue === "yes"));
    });
    dialog.showModal();
    return decided;
}

async function act(element, order) {
    if (await sure(asked(element))) {
        await send("click", { ...place(element), action_id: element.dataset.action, ...order });
    }
    await draw();
}

// An input tells the app only when it is submitted, unless it asks to hear of each change.
const silent = (element) => element.closest(".block.input") && element.closest("[data-surface=modal]");

function chosen(element) {
    switch (element.dataset.type) {
        case "checkboxes":
            return [...element.querySelectorAll(":checked")].map((box) => box.value);
        case "radio_buttons":
            return element.querySelector(":checked")?.value ?? null;
        case "datetimepicker":
            return element.value ? Date.parse(`${element.value}Z`) / 1000 : null;
        case "external_select":
            return element.dataset.chosen || null;
        case "multi_external_select":
            return element.dataset.chosen ? element.dataset.chosen.split("\n") : [];
        default:
            if (element.multiple) {
                return [...element.selectedOptions].map((option) => option.value);
            }
            return element.value || null;
    }
}

function entered(form) {
    const values = {};
    for (const field of form.querySelectorAll(".block.input [data-action]")) {
        const block = field.closest("[data-block]").dataset.block;
        (values[block] ??= {})[field.dataset.action] = chosen(field);
    }
    return values;
}

async function suggest(field) {
    const list = field.nextElementSibling;
    const text = field.value;
    field.dataset.chosen = "";
    if (text.length < Number(field.dataset.least)) {
        list.hidden = true;
        return;
    }
    const said = await send("suggest", { ...place(field), action_id: field.dataset.action, typed: text });
    if (field.value !== text) {
        return;
    }
    list.replaceChildren(
        ...(said.options ?? []).map((option) => {
            const button = document.createElement("button");
            button.type = "button";
            button.textContent = option.text.text;
            button.dataset.act = "suggested";
            button.dataset.choice = option.value;
            return button;
        }),
    );
    list.hidden = false;
}

const pressed = {
    click: (element) => act(element, { value: element.dataset.value ?? null }),
    overflow: (element) => {
        const menu = element.closest("details");
        menu.open = false;
        return act(menu, { choice: element.dataset.choice });
    },
    go: (element) => {
        const to = element.dataset.to;
        if (to === "home") {
            send("home", {}).then(draw);
        }
        return go({ channel: to, thread: null });
    },
    thread: (element) => go({ thread: element.dataset.ts }),
    close: () => send("close", {}).then(draw),
    shortcut: (element) => send("shortcut", { callback_id: element.dataset.callback }).then(draw),
    suggested: (element) => {
        const list = element.parentElement;
        const field = list.previousElementSibling;
        field.value = element.textContent;
        field.dataset.chosen = element.dataset.choice;
        list.hidden = true;
        return silent(field) ? null : act(field, { choice: element.dataset.choice });
    },
    theme: () => {
        const dark = matchMedia("(prefers-color-scheme: dark)").matches;
        const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
        theme(now === "dark" ? "light" : "dark");
    },
};

document.addEventListener("click", (event) => {
    const element = event.target.closest("[data-act]");
    if (element && Object.hasOwn(pressed, element.dataset.act)) {
        pressed[element.dataset.act](element);
    }
});

// A press that began on a button must end on it, or the browser takes it for none: nothing is drawn between.
document.addEventListener("pointerdown", (event) => {
    release();
    if (event.target.closest("button, summary")) {
        released = new Promise((done) => {
            release = done;
        });
    }
});
for (const end of ["pointerup", "pointercancel"]) {
    // The click comes with the same task.
    document.addEventListener(end, () => setTimeout(release));
}
window.addEventListener("blur", () => release());

document.addEventListener("change", (event) => {
    const element = event.target.closest("[data-act]");
    if (element?.dataset.act === "as") {
        go({ as: element.value, thread: null });
    } else if (["choose", "tick"].includes(element?.dataset.act) && !silent(element)) {
        act(element, { choice: chosen(element) });
    }
});

document.addEventListener("input", (event) => {
    if (event.target.dataset.act === "suggest") {
        suggest(event.target);
    }
});

document.addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.target;
    if (form.dataset.surface === "modal") {
        await send("submit", { values: entered(form) });
        await draw();
        return;
    }
    const field = form.querySelector("textarea");
    const text = field.value.trim();
    if (!text) {
        return;
    }
    const to = { channel: where.get("channel") };
    const command = form.id === "composer" ? /^(\/[a-z0-9_-]+)(?:\s+([^]*))?$/.exec(text) : null;
    const thread = form.id === "reply" ? { thread_ts: where.get("thread") } : {};
    const said = command
        ? await send("command", { ...to, command: command[1], text: command[2] ?? "" })
        : await send("say", { ...to, ...thread, text });
    if (said.ok || said.asked) {
        field.value = "";
    }
    await draw();
});

document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && event.target.matches("#words, #answer")) {
        event.preventDefault();
        event.target.form.requestSubmit();
    }
    if (event.key === "Escape" && !$("modal").hidden) {
        pressed.close();
    }
});

function theme(name) {
    document.documentElement.dataset.theme = name;
    localStorage.setItem("theme", name);
}

if (localStorage.getItem("theme")) {
    theme(localStorage.getItem("theme"));
}
draw().then(watch);

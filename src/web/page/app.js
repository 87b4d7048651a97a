// The page: logs in, connects, and shows what the address says.

import { showAsks } from "./asks.js";
import { Connection } from "./connection.js";
import { banner, byId, show } from "./dom.js";
import { showEvents } from "./events.js";
import { showVm } from "./vm.js";
import { showWall } from "./wall.js";

const main = byId("main");
let connection;
let leavePage = () => {};
let leaveAsks = () => {};

/** Gives a token for a session. The secret of a link leaves the address at once. */
async function enter(token) {
  const response = await fetch("/enter", { method: "POST", body: token });
  return response.ok ? "" : (await response.text()).trim();
}

function showLogin(why) {
  leavePage();
  leavePage = () => {};
  leaveAsks();
  connection?.close();
  connection = undefined;
  banner("");
  byId("who").textContent = "";
  byId("leave").hidden = byId("pages").hidden = true;
  document.title = "Log in – vmsig";
  show(main, "login-page");
  byId("login-fault").textContent = why;
  byId("token").focus();
  byId("login-form").onsubmit = async (event) => {
    event.preventDefault();
    const fault = await enter(byId("token").value.replace(/^.*#enter=/, ""));
    if (fault === "") start();
    else byId("login-fault").textContent = fault;
  };
}

function route() {
  if (connection === undefined) return;
  leavePage();
  const [, page = "", name = ""] = location.hash.split("/");
  for (const link of document.querySelectorAll("nav a")) {
    const isHere = link.dataset.page === (page === "events" ? "events" : "wall");
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (page === "vm" && name !== "") {
    const vm = decodeURIComponent(name);
    document.title = `${vm} – vmsig`;
    leavePage = showVm(main, connection, vm);
  } else if (page === "events") {
    document.title = "Events – vmsig";
    leavePage = showEvents(main, connection);
  } else {
    document.title = "VMs – vmsig";
    leavePage = showWall(main, connection);
  }
}

function start() {
  connection = new Connection();
  connection.addEventListener("state", () => banner(connection?.trouble ?? ""));
  connection.addEventListener("hello", () => {
    byId("who").textContent = connection.you;
  });
  connection.addEventListener("out", () => showLogin("Your session has ended: log in again."));
  byId("leave").hidden = byId("pages").hidden = false;
  route();
  connection.open();
  leaveAsks = showAsks(connection);
}

byId("leave").onclick = async () => {
  await fetch("/leave", { method: "POST" });
  showLogin("You are logged out; what you had was given back.");
};
addEventListener("hashchange", () => {
  route();
  main.focus();
});

const secret = /^#enter=([\w-]+)$/.exec(location.hash)?.[1];
if (secret !== undefined) history.replaceState(null, "", "/");
const fault = secret === undefined ? "" : await enter(secret);
if (await (await fetch("/session")).text() === "yes") start();
else showLogin(fault);

// All VMs: live small pictures of those in view, states, and who has what.

import { byId, leaseLines, show, showState } from "./dom.js";

/** Shows the wall; gives what takes it away. */
export function showWall(main, connection) {
  show(main, "wall-page");
  const list = byId("cards");
  const cards = new Map();
  const visible = new Set();
  const tellSeen = () => connection.see(document.hidden ? [] : [...visible]);
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) visible.add(target.dataset.vm);
      else visible.delete(target.dataset.vm);
    }
    tellSeen();
  });
  const picture = (name) => {
    const address = connection.thumbs.get(name);
    const image = cards.get(name)?.querySelector("img");
    if (address === undefined || image == null) return;
    image.onload = () => {
      image.hidden = false;
      image.nextElementSibling.hidden = true;
    };
    image.src = address;
  };
  const update = () => {
    byId("wall-empty").hidden = connection.vms.length > 0 || connection.trouble !== "";
    if (!connection.may.includes("roster")) {
      byId("wall-empty").textContent = "Your grant has no capability roster: you are told of no VMs.";
    }
    for (const [name, card] of cards) {
      if (connection.vm(name) !== undefined) continue;
      observer.unobserve(card);
      visible.delete(name);
      card.remove();
      cards.delete(name);
    }
    for (const vm of connection.vms) {
      let card = cards.get(vm.name);
      if (card === undefined) {
        card = byId("card").content.firstElementChild.cloneNode(true);
        card.dataset.vm = vm.name;
        card.querySelector("a").href = `#/vm/${encodeURIComponent(vm.name)}`;
        card.querySelector(".name").textContent = vm.name;
        card.querySelector("img").alt = `Screen of ${vm.name}`;
        cards.set(vm.name, card);
        list.append(card);
        observer.observe(card);
        picture(vm.name);
      }
      showState(card.querySelector(".state"), vm);
      card.querySelector(".seams").textContent = vm.seams.length === 0
        ? "no seam is up"
        : vm.seams.join(" · ");
      card.querySelector(".leases").textContent = leaseLines(vm.leases).map(({ text }) => text).join("; ");
    }
  };
  const onThumb = ({ detail }) => picture(detail.vm);
  connection.addEventListener("vms", update);
  connection.addEventListener("state", update);
  connection.addEventListener("thumb", onThumb);
  document.addEventListener("visibilitychange", tellSeen);
  update();
  return () => {
    observer.disconnect();
    connection.removeEventListener("vms", update);
    connection.removeEventListener("state", update);
    connection.removeEventListener("thumb", onThumb);
    document.removeEventListener("visibilitychange", tellSeen);
    connection.see([]);
  };
}

/*
 * The guest's agent: a line protocol over a raw serial port (ttyS1), so that a test on the host can start
 * programs, read files and change the machine's power state. It trusts the host entirely and checks only
 * what a mistake in a test would break. tests/guest/guest_agent.ts is the other end.
 *
 * Host to guest, one line a request; words are separated by one space and percent-encoded:
 *   ID exec [KEY=VALUE ...] PROGRAM ARG ...   a program without a slash is one in /bin
 *   ID stdin CHILD TEXT | ID eof CHILD | ID kill CHILD SIGNAL    CHILD is the ID of its exec
 *   ID cat PATH | ID ls PATH | ID write PATH TEXT | ID append PATH TEXT | ID insmod PATH
 *   ID ping | ID poweroff | ID reboot | ID suspend | ID panic
 *
 * Guest to host, frames: "KIND ID LENGTH\n" and LENGTH raw bytes. KIND is
 *   hello  the agent is up (ID 0; the kernel's release), once after each boot
 *   ok     the request is done, with its result
 *   err    the request failed, with the reason
 *   data   a part of a file that is being read (then ok), or of a program's output (then exit)
 *   exit   the program ended: "code N" or "signal N"
 */
#ifndef VMSIG_GUEST_AGENT_H
#define VMSIG_GUEST_AGENT_H

/* Serves the port until the machine goes down; power_button_fd is an evdev fd or -1. */
void agent_serve(int port_fd, int power_button_fd);

/* Goes down in an orderly way; does not return. how: one of reboot(2)'s RB_ values. */
void machine_down(int how);

#endif

/**
 * Names of keys and their evdev codes (Linux, input-event-codes.h), with common aliases. Names are in lower
 * case without underscores: "leftctrl", "f5", "kpenter", "volumeup".
 * @module
 */

// NAME:CODE, as the kernel numbers them.
const TABLE = `
esc:1 1:2 2:3 3:4 4:5 5:6 6:7 7:8 8:9 9:10 0:11 minus:12 equal:13 backspace:14 tab:15 q:16 w:17 e:18
r:19 t:20 y:21 u:22 i:23 o:24 p:25 leftbrace:26 rightbrace:27 enter:28 leftctrl:29 a:30 s:31 d:32 f:33
g:34 h:35 j:36 k:37 l:38 semicolon:39 apostrophe:40 grave:41 leftshift:42 backslash:43 z:44 x:45 c:46
v:47 b:48 n:49 m:50 comma:51 dot:52 slash:53 rightshift:54 kpasterisk:55 leftalt:56 space:57 capslock:58
f1:59 f2:60 f3:61 f4:62 f5:63 f6:64 f7:65 f8:66 f9:67 f10:68 numlock:69 scrolllock:70 kp7:71 kp8:72
kp9:73 kpminus:74 kp4:75 kp5:76 kp6:77 kpplus:78 kp1:79 kp2:80 kp3:81 kp0:82 kpdot:83 zenkakuhankaku:85
102nd:86 f11:87 f12:88 ro:89 katakana:90 hiragana:91 henkan:92 katakanahiragana:93 muhenkan:94
kpjpcomma:95 kpenter:96 rightctrl:97 kpslash:98 sysrq:99 rightalt:100 linefeed:101 home:102 up:103
pageup:104 left:105 right:106 end:107 down:108 pagedown:109 insert:110 delete:111 macro:112 mute:113
volumedown:114 volumeup:115 power:116 kpequal:117 kpplusminus:118 pause:119 scale:120 kpcomma:121
hangeul:122 hanguel:122 hanja:123 yen:124 leftmeta:125 rightmeta:126 compose:127 stop:128 again:129
props:130 undo:131 front:132 copy:133 open:134 paste:135 find:136 cut:137 help:138 menu:139 calc:140
setup:141 sleep:142 wakeup:143 file:144 sendfile:145 deletefile:146 xfer:147 prog1:148 prog2:149 www:150
msdos:151 coffee:152 screenlock:152 rotatedisplay:153 direction:153 cyclewindows:154 mail:155
bookmarks:156 computer:157 back:158 forward:159 closecd:160 ejectcd:161 ejectclosecd:162 nextsong:163
playpause:164 previoussong:165 stopcd:166 record:167 rewind:168 phone:169 iso:170 config:171
homepage:172 refresh:173 exit:174 move:175 edit:176 scrollup:177 scrolldown:178 kpleftparen:179
kprightparen:180 new:181 redo:182 f13:183 f14:184 f15:185 f16:186 f17:187 f18:188 f19:189 f20:190
f21:191 f22:192 f23:193 f24:194 playcd:200 pausecd:201 prog3:202 prog4:203 allapplications:204
dashboard:204 suspend:205 close:206 play:207 fastforward:208 bassboost:209 print:210 hp:211 camera:212
sound:213 question:214 email:215 chat:216 search:217 connect:218 finance:219 sport:220 shop:221
alterase:222 cancel:223 brightnessdown:224 brightnessup:225 media:226 switchvideomode:227
kbdillumtoggle:228 kbdillumdown:229 kbdillumup:230 send:231 reply:232 forwardmail:233 save:234
documents:235 battery:236 bluetooth:237 wlan:238 uwb:239 unknown:240 videonext:241 videoprev:242
brightnesscycle:243 brightnessauto:244 brightnesszero:244 displayoff:245 wwan:246 wimax:246 rfkill:247
micmute:248 ok:352 select:353 goto:354 clear:355 power2:356 option:357 info:358 time:359 vendor:360
archive:361 program:362 channel:363 favorites:364 epg:365 pvr:366 mhp:367 language:368 title:369
subtitle:370 angle:371 fullscreen:372 zoom:372 mode:373 keyboard:374 aspectratio:375 screen:375 pc:376
tv:377 tv2:378 vcr:379 vcr2:380 sat:381 sat2:382 cd:383 tape:384 radio:385 tuner:386 player:387 text:388
dvd:389 aux:390 mp3:391 audio:392 video:393 directory:394 list:395 memo:396 calendar:397 red:398
green:399 yellow:400 blue:401 channelup:402 channeldown:403 first:404 last:405 ab:406 next:407
restart:408 slow:409 shuffle:410 break:411 previous:412 digits:413 teen:414 twen:415 videophone:416
games:417 zoomin:418 zoomout:419 zoomreset:420 wordprocessor:421 editor:422 spreadsheet:423
graphicseditor:424 presentation:425 database:426 news:427 voicemail:428 addressbook:429 messenger:430
displaytoggle:431 brightnesstoggle:431 spellcheck:432 logoff:433 dollar:434 euro:435 frameback:436
frameforward:437 contextmenu:438 mediarepeat:439 10channelsup:440 10channelsdown:441 images:442
notificationcenter:444 pickupphone:445 hangupphone:446 linkphone:447 deleol:448 deleos:449 insline:450
delline:451 fn:464 fnesc:465 fnf1:466 fnf2:467 fnf3:468 fnf4:469 fnf5:470 fnf6:471 fnf7:472 fnf8:473
fnf9:474 fnf10:475 fnf11:476 fnf12:477 fn1:478 fn2:479 fnd:480 fne:481 fnf:482 fns:483 fnb:484
fnrightshift:485 brldot1:497 brldot2:498 brldot3:499 brldot4:500 brldot5:501 brldot6:502 brldot7:503
brldot8:504 brldot9:505 brldot10:506 numeric0:512 numeric1:513 numeric2:514 numeric3:515 numeric4:516
numeric5:517 numeric6:518 numeric7:519 numeric8:520 numeric9:521 numericstar:522 numericpound:523
numerica:524 numericb:525 numericc:526 numericd:527 camerafocus:528 wpsbutton:529 touchpadtoggle:530
touchpadon:531 touchpadoff:532 camerazoomin:533 camerazoomout:534 cameraup:535 cameradown:536
cameraleft:537 cameraright:538 attendanton:539 attendantoff:540 attendanttoggle:541 lightstoggle:542
alstoggle:560 rotatelocktoggle:561 refreshratetoggle:562 buttonconfig:576 taskmanager:577 journal:578
controlpanel:579 appselect:580 screensaver:581 voicecommand:582 assistant:583 kbdlayoutnext:584
emojipicker:585 dictate:586 brightnessmin:592 brightnessmax:593 kbdinputassistprev:608
kbdinputassistnext:609 kbdinputassistprevgroup:610 kbdinputassistnextgroup:611 kbdinputassistaccept:612
kbdinputassistcancel:613 rightup:614 rightdown:615 leftup:616 leftdown:617 rootmenu:618 mediatopmenu:619
numeric11:620 numeric12:621 audiodesc:622 3dmode:623 nextfavorite:624 stoprecord:625 pauserecord:626
vod:627 unmute:628 fastreverse:629 slowreverse:630 data:631 onscreenkeyboard:632 privacyscreentoggle:633
selectivescreenshot:634 nextelement:635 previouselement:636 autopilotengagetoggle:637 markwaypoint:638
sos:639 navchart:640 fishingchart:641 singlerangeradar:642 dualrangeradar:643 radaroverlay:644
traditionalsonar:645 clearvusonar:646 sidevusonar:647 navinfo:648 brightnessmenu:649 macro1:656
macro2:657 macro3:658 macro4:659 macro5:660 macro6:661 macro7:662 macro8:663 macro9:664 macro10:665
macro11:666 macro12:667 macro13:668 macro14:669 macro15:670 macro16:671 macro17:672 macro18:673
macro19:674 macro20:675 macro21:676 macro22:677 macro23:678 macro24:679 macro25:680 macro26:681
macro27:682 macro28:683 macro29:684 macro30:685 macrorecordstart:688 macrorecordstop:689
macropresetcycle:690 macropreset1:691 macropreset2:692 macropreset3:693 kbdlcdmenu1:696 kbdlcdmenu2:697
kbdlcdmenu3:698 kbdlcdmenu4:699 kbdlcdmenu5:700
`;

// Common names of keys that evdev names differently.
const ALIASES = `
ctrl:leftctrl control:leftctrl lctrl:leftctrl rctrl:rightctrl alt:leftalt lalt:leftalt altgr:rightalt
ralt:rightalt shift:leftshift lshift:leftshift rshift:rightshift meta:leftmeta super:leftmeta win:leftmeta cmd:leftmeta
lmeta:leftmeta rmeta:rightmeta rwin:rightmeta del:delete ins:insert escape:esc return:enter ret:enter pgup:pageup
pgdn:pagedown pgdown:pagedown bksp:backspace bs:backspace spc:space spacebar:space printscreen:sysrq
prtsc:sysrq prtscr:sysrq caps:capslock apps:compose contextmenu:compose scroll:scrolllock num:numlock
backquote:grave tilde:grave dash:minus hyphen:minus equals:equal quote:apostrophe period:dot fullstop:dot
lbracket:leftbrace leftbracket:leftbrace rbracket:rightbrace rightbracket:rightbrace kpadd:kpplus kpsubtract:kpminus
kpmultiply:kpasterisk kpdivide:kpslash kpdecimal:kpdot volup:volumeup voldown:volumedown
`;

/** Key name to code, aliases included. */
export const KEY_CODES: ReadonlyMap<string, number> = readTables();

/**
 * The code of a key by its name; case, underscores and a leading "KEY_" are ignored. Undefined when there is
 * none.
 */
export function keyCode(name: string): number | undefined {
  return KEY_CODES.get(name.toLowerCase().replaceAll("_", "").replace(/^key(?=.)/, "")) ??
    KEY_CODES.get(name.toLowerCase().replaceAll("_", ""));
}

/** The name of a key's code: the first one in the kernel's list. */
export function keyName(code: number): string {
  for (const [name, number] of KEY_CODES) if (number === code) return name;
  return `key-${code}`;
}

function readTables(): Map<string, number> {
  const codes = new Map<string, number>();
  for (const entry of TABLE.trim().split(/\s+/)) {
    const colon = entry.indexOf(":");
    codes.set(entry.slice(0, colon), Number(entry.slice(colon + 1)));
  }
  for (const entry of ALIASES.trim().split(/\s+/)) {
    const [alias = "", name = ""] = entry.split(":");
    const code = codes.get(name);
    // An alias never hides a key with that evdev name.
    if (code !== undefined && !codes.has(alias)) codes.set(alias, code);
  }
  return codes;
}

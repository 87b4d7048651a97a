//! memflow's own walk and reads over the very mapping that src/guest reads, for the memory bench: RAM from
//! guest-physical address 0 on, one translation or one read at a time, no cache (on RAM that is mapped here, its
//! cache is slower than none).
//!
//! Built on demand by tests/bench/memflow_floor.ts where there is a cargo.

use memflow::architecture::x86::x64;
use memflow::prelude::v1::*;

type Ram = MappedPhysicalMemory<&'static [u8], MemoryMap<&'static [u8]>>;
type Space = VirtualDma<Ram, DirectTranslate, memflow::architecture::x86::X86VirtualTranslate>;

/// # Safety
/// `base` maps `size` bytes for as long as the address space is used.
unsafe fn space(base: *const u8, size: u64, root: u64) -> Space {
    let mut map = MemoryMap::new();
    map.push(Address::from(0u64), std::slice::from_raw_parts(base, size as usize));
    VirtualDma::new(Ram::with_info(map), x64::ARCH, x64::new_translator(Address::from(root)))
}

/// The sum of n translations.
///
/// # Safety
/// As of `space`; `addresses` has n of them.
#[no_mangle]
pub unsafe extern "C" fn memflow_translate(base: *const u8, size: u64, root: u64, addresses: *const f64, n: u32) -> u64 {
    let mut space = space(base, size, root);
    let mut sum = 0u64;
    for &address in std::slice::from_raw_parts(addresses, n as usize) {
        let found = space.virt_to_phys(Address::from(address as i64 as u64));
        sum = sum.wrapping_add(found.map_or(0, |physical| physical.address().to_umem()));
    }
    sum
}

/// The sum of n eight-byte reads, modulo 2^32 (which a double adds up exactly).
///
/// # Safety
/// As of `memflow_translate`.
#[no_mangle]
pub unsafe extern "C" fn memflow_read8(base: *const u8, size: u64, root: u64, addresses: *const f64, n: u32) -> u32 {
    let mut space = space(base, size, root);
    let mut sum = 0u32;
    for &address in std::slice::from_raw_parts(addresses, n as usize) {
        sum = sum.wrapping_add(space.read::<u64>(Address::from(address as i64 as u64)).unwrap_or(0) as u32);
    }
    sum
}

/// `rounds` reads of `bytes` each, `bytes` apart, `wrap` of them in turn; how many bytes were read.
///
/// # Safety
/// As of `space`; `into` has room.
#[no_mangle]
pub unsafe extern "C" fn memflow_read(base: *const u8, size: u64, root: u64, from: u64, bytes: u32, wrap: u32, rounds: u32, into: *mut u8) -> u64 {
    let mut space = space(base, size, root);
    let into = std::slice::from_raw_parts_mut(into, bytes as usize);
    let mut done = 0;
    for round in 0..rounds {
        let at = from + (round % wrap) as u64 * bytes as u64;
        if space.read_raw_into(Address::from(at), into).is_ok() {
            done += bytes as u64;
        }
    }
    done
}

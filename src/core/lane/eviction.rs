//! How much the entries of a lane take, and their eviction.

use super::Lane;
use super::idle::{EVICTABLE_IDLE_DRAINS, IdleBytes};
use super::ledger::HeldHour;
use crate::core::account::{Account, HeldBlock, Organization, Upkeep, User};
use crate::core::counters::{Counter, ProjectDay};
use crate::core::id::Id;
use crate::core::rollup::ExecutionCount;

/// A hash map has between 7/16 and 7/8 of its places in use, and a byte beside each.
const fn in_map<E>() -> usize {
    (size_of::<E>() + 1) * 3 / 2
}

/// A vector has between half and all of its places in use.
const fn numbered<T>() -> usize {
    in_map::<u32>() + size_of::<T>() * 3 / 2
}

const ACCOUNT_BYTES: usize = in_map::<(Id, Account)>();
const ORGANIZATION_BYTES: usize = numbered::<Organization>();
const USER_BYTES: usize = numbered::<User>();
const BLOCK_BYTES: usize = size_of::<HeldBlock>();
const COUNTER_BYTES: usize = in_map::<(ProjectDay, Counter<ExecutionCount>)>();
const HOUR_BYTES: usize = size_of::<HeldHour>();

impl Lane {
    /// Accounts, users, counters and hours held.
    pub fn held_entries(&self) -> usize {
        let of_account = |account: &Account| {
            1 + account.users.values().len()
                + blocks(account).map(|held| 1 + held.block.len()).sum::<usize>()
        };
        self.accounts.values().map(of_account).sum::<usize>() + self.hours.len()
    }

    /// Memory that they take, bytes, about: of users with a seat or two, and short ids.
    pub fn held_bytes(&self) -> usize {
        let of_account = |account: &Account| {
            account_bytes(account)
                + account.users.values().len() * USER_BYTES
                + blocks(account).map(block_bytes).sum::<usize>()
        };
        self.accounts.values().map(of_account).sum::<usize>() + self.hours.len() * HOUR_BYTES
    }

    /// Adds the memory of all entries to `idle`.
    pub fn tell_idle(&self, idle: &mut IdleBytes) {
        let since = |upkeep: Upkeep| u64::from(self.drain.saturating_sub(upkeep.used));
        for upkeep in self.hours.upkeeps() {
            idle.add(since(upkeep), HOUR_BYTES);
        }
        for account in self.accounts.values() {
            idle.add(since(account.upkeep), account_bytes(account));
            for user in account.users.values() {
                idle.add(since(user.upkeep), USER_BYTES);
            }
            for held in blocks(account) {
                idle.add(since(held.upkeep), block_bytes(held));
            }
        }
    }

    /// Evicts entries that the store holds and that have been idle for so many drains, but no less
    /// than [`EVICTABLE_IDLE_DRAINS`]; returns how many.
    pub fn evict(&mut self, idle_drains: u64) -> usize {
        let held = self.held_entries();
        let idle_drains = idle_drains.max(EVICTABLE_IDLE_DRAINS);
        let (drain, acknowledged) = (self.drain, self.acknowledged);
        let goes = |upkeep: Upkeep| {
            u64::from(drain.saturating_sub(upkeep.used)) >= idle_drains
                && upkeep.is_stored(acknowledged)
        };
        self.hours.evict(goes);
        self.accounts.retain(|_, account| {
            let mut has_all_seats = account.has_all_seats;
            account.retain_users(|user| {
                let stays = !goes(user.upkeep);
                has_all_seats &= stays || user.seats.is_empty();
                stays
            });
            account.has_all_seats = has_all_seats;
            let (mut holds_blocks, mut counted_until) = (false, account.counted_until);
            for organization in account.organizations.all_mut() {
                organization.blocks.retain(|held| {
                    let stays = !goes(held.upkeep);
                    if !stays {
                        counted_until = counted_until.max(held.month);
                    }
                    stays
                });
                holds_blocks |= !organization.blocks.is_empty();
            }
            account.counted_until = counted_until;
            let is_empty = account.users.values().is_empty() && !holds_blocks;
            !(is_empty && !account.is_dirty && goes(account.upkeep))
        });
        held - self.held_entries()
    }
}

fn blocks(account: &Account) -> impl Iterator<Item = &HeldBlock> {
    account.organizations.all().iter().flat_map(|organization| organization.blocks.iter())
}

/// Of the account itself: its organizations stay as long as it does.
fn account_bytes(account: &Account) -> usize {
    ACCOUNT_BYTES + account.organizations.all().len() * ORGANIZATION_BYTES
}

fn block_bytes(held: &HeldBlock) -> usize {
    BLOCK_BYTES + held.block.len() * COUNTER_BYTES
}

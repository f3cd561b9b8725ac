//! The wing on moto, behind a proxy that counts calls and answers what moto cannot.
//!
//! Where moto is not AWS (5.2.5): snapshots are `completed` at once; `CopyTagsFromSource`, `ExcludeDataVolumeIds`,
//! `OwnerIds` and paging are ignored (so what is sent is asserted on the request, and pages are canned);
//! `LockSnapshot` does not exist (canned); describe calls ignore `DryRun`; a denial is `AccessDenied` or
//! `UnauthorizedOperation` without resource.

mod bed;
mod canned;
mod cloud;
mod evidence;
mod faults;
mod lock;
mod read_back;
mod snapshots;

//! Files against a real directory and against faults.

use super::*;
use crate::base::Kind;
use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

fn faulty() -> (tempfile::TempDir, Faults, Files) {
    let faults = Faults::new();
    (tempfile::tempdir().unwrap(), faults.clone(), Files::faulty(faults))
}

#[test]
fn an_append_of_thousands_of_slices_is_whole() {
    let (dir, _, files) = faulty();
    let path = dir.path().join("a");
    let mut file = files.create_new(&path).unwrap();
    let pieces: Vec<Vec<u8>> = (0..5000_usize).map(|i| vec![i as u8; i % 7]).collect();
    let slices: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
    file.append_vectored(&slices).unwrap();
    file.append_vectored(&[]).unwrap();
    file.append_vectored(&[b"", b"end", b""]).unwrap();
    let expected = [pieces.concat(), b"end".to_vec()].concat();
    assert_eq!(file.end(), expected.len() as u64);
    assert_eq!(files.read(&path).unwrap(), expected);
    let mut again = files.open_append(&path).unwrap();
    again.append_vectored(&[b"!"]).unwrap();
    assert_eq!(files.read(&path).unwrap(), [expected, b"!".to_vec()].concat());
}

#[test]
fn a_short_append_is_an_error_that_a_cut_heals() {
    let (dir, faults, files) = faulty();
    let path = dir.path().join("a");
    let mut file = files.create_new(&path).unwrap();
    file.append_vectored(&[b"whole"]).unwrap();
    for short in 0..=6 {
        faults.inject(Rule::new(Op::Append, Failure::Short(short)));
        let error = file.append_vectored(&[b"to", b"", b"rn!!!"]).unwrap_err();
        assert_eq!(error.kind(), Kind::NoSpace, "{error}");
        assert_eq!((file.end(), file.len().unwrap()), (5, 5 + short as u64));
        file.truncate(file.end()).unwrap();
    }
    file.append_vectored(&[b"!"]).unwrap();
    assert_eq!(files.read(&path).unwrap(), b"whole!");
    assert_eq!(faults.hits(), 7);
}

#[test]
fn rules_count_and_heal() {
    let (dir, faults, files) = faulty();
    let file = files.create_new(&dir.path().join("a")).unwrap();
    let other = files.create_new(&dir.path().join("b")).unwrap();
    faults.inject(Rule::new(Op::SyncData, Failure::Io).nth(2).on("/a"));
    assert!(other.sync_data().is_ok() && other.sync_data().is_ok() && file.sync_data().is_ok());
    let error = file.sync_data().unwrap_err();
    assert_eq!((error.kind(), error.op()), (Kind::Storage, Some(Op::SyncData)));
    assert!(error.to_string().starts_with("cannot sync /"), "{error}");
    assert!(file.sync_data().is_ok(), "it was to fail once");
    faults.inject(Rule::any(Failure::ReadOnly).persistent());
    assert!(file.sync_data().is_err() && file.len().is_err() && files.list(dir.path()).is_err());
    faults.heal();
    assert!(file.sync_data().is_ok());
    assert_eq!(faults.count(Op::SyncData), 7);
}

#[test]
fn every_new_directory_is_made_durable_in_its_parent() {
    let (dir, faults, files) = faulty();
    let deep = dir.path().join("x/y/z");
    files.create_dir_all_durable(&deep, 0o750).unwrap();
    assert_eq!((faults.count(Op::CreateDir), faults.count(Op::SyncDir)), (3, 3));
    assert_eq!(std::fs::metadata(&deep).unwrap().permissions().mode() & 0o777, 0o750);
    files.create_dir_all_durable(&deep, 0o750).unwrap();
    assert_eq!(faults.count(Op::CreateDir), 3);
    faults.inject(Rule::new(Op::SyncDir, Failure::Io));
    assert!(files.create_dir_all_durable(&dir.path().join("x/w"), 0o750).is_err());
    std::fs::write(dir.path().join("file"), b"").unwrap();
    assert!(files.create_dir_all_durable(&dir.path().join("file"), 0o750).is_err());
}

#[test]
fn each_failure_of_a_replacement_leaves_the_old_file_or_the_new_one() {
    for failure in [Failure::Io, Failure::NoSpace, Failure::Short(2)] {
        for nth in 1.. {
            let (dir, faults, files) = faulty();
            let path = dir.path().join("marker");
            files.replace(&path, b"old").unwrap();
            faults.inject(Rule::any(failure).nth(nth));
            let result = files.replace(&path, b"newer");
            let done = faults.hits() == 0;
            faults.heal();
            let content = files.read(&path).unwrap();
            assert!(content == b"old" || content == b"newer", "operation {nth}: {content:?}");
            assert!(result.is_err() || content == b"newer", "operation {nth} said yes");
            assert!(result.is_ok() == done, "operation {nth} failed and nobody said so");
            files.replace(&path, b"newest").unwrap();
            if done {
                assert!(nth > 5, "the loop saw every operation");
                break;
            }
        }
    }
}

#[test]
fn paths_say_what_is_there() {
    let (dir, faults, files) = faulty();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    files.remove_file(&a).unwrap();
    assert_eq!(files.open_read(&a).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(files.len_of(&a).unwrap(), None);
    files.create_new(&a).unwrap().append_vectored(&[b"abc"]).unwrap();
    assert_eq!(files.create_new(&a).unwrap_err().kind(), Kind::Conflict);
    files.create_dir_all_durable(&b.join("c"), 0o700).unwrap();
    let entry = |name: &str, is_dir, len| Entry { name: name.into(), is_dir, len };
    assert_eq!(files.list(dir.path()).unwrap(), [entry("a", false, 3), entry("b", true, 0)]);
    assert!(!files.remove_dir_if_empty(&b).unwrap());
    assert!(files.remove_dir_if_empty(&b.join("c")).unwrap() && files.remove_dir_if_empty(&b).unwrap());
    let file = files.open_read(&a).unwrap();
    let mut two = [0; 2];
    file.read_exact_at(1, &mut two).unwrap();
    assert_eq!(&two, b"bc");
    assert!(file.read_exact_at(2, &mut two).is_err());
    assert_eq!(file.read_at(2, &mut two).unwrap(), 1);
    let space = files.free_space(dir.path()).unwrap();
    assert!(space.free_bytes > 0 && space.free_bytes < space.total_bytes);
    faults.pretend_space(Some(Space { total_bytes: 10, free_bytes: 1, ..Space::default() }));
    assert_eq!(files.free_space(dir.path()).unwrap().free_bytes, 1);
}

#[test]
fn an_exchange_swaps_and_a_lock_is_exclusive() {
    let (dir, _, files) = faulty();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    files.replace(&a, b"A").unwrap();
    files.replace(&b, b"B").unwrap();
    files.exchange(&a, &b).unwrap();
    assert_eq!((files.read(&a).unwrap(), files.read(&b).unwrap()), (b"B".to_vec(), b"A".to_vec()));
    let (one, two) = (files.open_read(&a).unwrap(), files.open_read(&a).unwrap());
    one.try_lock().unwrap();
    assert_eq!(two.try_lock().unwrap_err().kind(), Kind::Busy);
    drop(one);
    two.try_lock().unwrap();
}

#[test]
fn below_an_anchor_nothing_goes_to_what_took_the_directorys_place() {
    let (dir, _, files) = faulty();
    let (there, moved) = (dir.path().join("mnt"), dir.path().join("moved"));
    std::fs::create_dir(&there).unwrap();
    let anchor = files.anchor(&there).unwrap();
    std::fs::rename(&there, &moved).unwrap();
    std::fs::create_dir(&there).unwrap();
    let deep = Path::new("a/b");
    assert_eq!(anchor.create_dir_all(deep, 0o750).unwrap(), ["", "a"].map(PathBuf::from), "what got an entry");
    assert!(anchor.create_dir_all(deep, 0o750).unwrap().is_empty());
    anchor.create_new(&deep.join("x.tmp")).unwrap().append_vectored(&[b"abc"]).unwrap();
    anchor.rename(&deep.join("x.tmp"), &deep.join("x")).unwrap();
    anchor.sync_dir(deep).unwrap();
    assert_eq!(anchor.len_of(&deep.join("x")).unwrap(), Some(3));
    assert_eq!(anchor.create_new(&deep.join("x")).unwrap_err().kind(), Kind::Conflict);
    assert_eq!(std::fs::read(moved.join("a/b/x")).unwrap(), b"abc");
    anchor.try_writing(1 << 20).unwrap();
    assert_eq!(std::fs::read_dir(&there).unwrap().count(), 0, "the new directory got something");
    assert_eq!(std::fs::read_dir(&moved).unwrap().count(), 1, "a trial left something");
    assert!(!anchor.remove_dir_if_empty(deep).unwrap());
    anchor.remove_file(&deep.join("x")).unwrap();
    assert!(anchor.remove_dir_if_empty(deep).unwrap());
}

#[test]
fn each_answer_of_the_system_names_its_trouble_and_all_words_differ_in_advice() {
    use rustix::io::Errno;
    let (dir, faults, files) = faulty();
    for (errno, trouble) in [
        (Errno::NOSPC, Trouble::Full),
        (Errno::DQUOT, Trouble::Quota),
        (Errno::ROFS, Trouble::ReadOnly),
        (Errno::IO, Trouble::Io),
        (Errno::NODEV, Trouble::Gone),
        (Errno::STALE, Trouble::Gone),
        (Errno::ACCESS, Trouble::Denied),
        (Errno::PERM, Trouble::Denied),
        (Errno::MFILE, Trouble::Descriptors),
        (Errno::NFILE, Trouble::Descriptors),
        (Errno::NAMETOOLONG, Trouble::NameTooLong),
        (Errno::LOOP, Trouble::Other),
    ] {
        faults.inject(Rule::new(Op::Create, Failure::Errno(errno)));
        assert_eq!(files.create_new(&dir.path().join("a")).unwrap_err().trouble(), trouble, "{errno}");
    }
    let advice: std::collections::BTreeSet<_> = Trouble::ALL.iter().map(|t| t.advice()).collect();
    assert_eq!(advice.len(), Trouble::ALL.len());
}

#[tokio::test]
async fn a_job_that_was_given_up_before_it_was_begun_is_not_done() {
    let (dir, faults, _) = faulty();
    let disk = Disk::faulty(1, faults.clone());
    faults.hang("stuck");
    let (stuck, late) = (dir.path().join("stuck"), dir.path().join("late"));
    let holder = disk.run(move |files| files.create_new(&stuck).map(drop));
    let path = late.clone();
    let waiter = disk.run_within(std::time::Duration::from_millis(20), move |files| files.create_new(&path).map(drop));
    let waits = async {
        let error = waiter.await.unwrap_err();
        faults.heal();
        error
    };
    let (held, error) = tokio::join!(biased; holder, waits);
    held.unwrap().unwrap();
    assert_eq!(error.trouble(), Trouble::Hangs);
    disk.run(|_| ()).await.unwrap();
    assert!(!late.exists(), "nobody knows that it was done");
}

#[tokio::test]
async fn the_pool_is_bounded_survives_panics_and_ends_with_its_handles() {
    let disk = Disk::faulty(2, Faults::new());
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let jobs = (0..50).map(|i| {
        let (disk, now, most) = (disk.clone(), now.clone(), most.clone());
        async move {
            let job = move |_: &Files| {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
                i
            };
            disk.run(job).await.unwrap()
        }
    });
    let answers = futures_util::future::join_all(jobs).await;
    assert_eq!(answers, (0..50).collect::<Vec<_>>());
    assert!(most.load(Ordering::SeqCst) <= 2, "{most:?} jobs ran at once on two threads");
    for _ in 0..4 {
        let error = disk.run(|_| -> () { panic!("bad index") }).await.unwrap_err();
        assert_eq!(error.to_string(), "a disk operation panicked: bad index");
    }
    assert_eq!(disk.run(|files| files.list(Path::new("/nowhere"))).await.unwrap().unwrap_err().kind(), Kind::NotFound);
    let alive = Arc::new(());
    let held = alive.clone();
    let (begun, waits) = tokio::sync::oneshot::channel();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let handle = disk.clone();
    let last = async move {
        let job = move |_: &Files| {
            let _held = held;
            begun.send(()).unwrap();
            gate.recv().unwrap();
        };
        handle.run(job).await
    };
    let (result, ()) = tokio::join!(last, async {
        waits.await.unwrap();
        drop(disk);
        go.send(()).unwrap();
    });
    result.unwrap();
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[test]
fn a_file_that_was_renamed_names_its_new_path() {
    let (dir, faults, files) = faulty();
    let (from, to): (PathBuf, PathBuf) = (dir.path().join("a.tmp"), dir.path().join("a"));
    let mut file = files.create_new(&from).unwrap();
    files.rename(&from, &to).unwrap();
    file.renamed(to.clone());
    faults.inject(Rule::new(Op::Append, Failure::Io));
    let error = file.append_vectored(&[b"x"]).unwrap_err().to_string();
    assert!(error.contains(&*to.to_string_lossy()) && !error.contains("a.tmp"), "{error}");
}

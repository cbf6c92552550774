//! The steps of a write that can fail, which tests make fail.

use std::io;
use std::path::Path;

/// A step of writing a file, or of creating a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Before anything is done.
    Create,
    /// The bytes are written under a temporary name, which is the path, and the disk need not have them.
    Write,
    /// It has its name, and the disk need not have that.
    Name,
}

/// Comes to a step of what is written at `path`.
#[cfg(not(test))]
#[inline]
pub(super) fn reach(_: Step, _: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(super) use injected::reach;

#[cfg(test)]
pub(crate) mod injected {
    use std::fs;
    use std::path::PathBuf;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::super::atomic::TEMPORARY;
    use super::{Path, Step, io};

    /// How a write fails.
    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Fault {
        /// Before its first byte.
        Full,
        /// In the middle.
        Short,
        /// The power goes in the middle: half a file stays under its temporary name.
        PowerLossBefore,
        /// The power goes before the folder is on the disk: the name is lost.
        PowerLossAfter,
    }

    impl Fault {
        pub(crate) const ALL: [Self; 4] =
            [Self::Full, Self::Short, Self::PowerLossBefore, Self::PowerLossAfter];

        const fn step(self) -> Step {
            match self {
                Self::Full => Step::Create,
                Self::Short | Self::PowerLossBefore => Step::Write,
                Self::PowerLossAfter => Step::Name,
            }
        }
    }

    /// A fault to come below a folder.
    struct Plan {
        folder: PathBuf,
        fault: Fault,
        /// Writes that still succeed.
        left: usize,
        struck: bool,
    }

    static PLANS: Mutex<Vec<Plan>> = Mutex::new(Vec::new());

    fn plans() -> MutexGuard<'static, Vec<Plan>> {
        PLANS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// While it lives, a write below a folder fails.
    pub(crate) struct Injection(PathBuf);

    impl Injection {
        /// Lets write number `index`, from 0, below `folder` fail.
        pub(crate) fn new(folder: &Path, index: usize, fault: Fault) -> Self {
            let folder = fs::canonicalize(folder).expect("a folder");
            plans().push(Plan { folder: folder.clone(), fault, left: index, struck: false });
            Self(folder)
        }

        /// Whether there were as many writes.
        pub(crate) fn struck(&self) -> bool {
            plans().iter().any(|plan| plan.folder == self.0 && plan.struck)
        }
    }

    impl Drop for Injection {
        fn drop(&mut self) {
            plans().retain(|plan| plan.folder != self.0);
        }
    }

    pub(in super::super) fn reach(step: Step, path: &Path) -> io::Result<()> {
        let mut plans = plans();
        let Some(plan) = plans.iter_mut().find(|plan| path.starts_with(&plan.folder)) else {
            return Ok(());
        };
        let off = matches!(plan.fault, Fault::PowerLossBefore | Fault::PowerLossAfter);
        if plan.struck && off {
            return Err(io::Error::other("the power is off"));
        }
        if plan.struck || plan.fault.step() != step {
            return Ok(());
        }
        if plan.left > 0 {
            plan.left -= 1;
            return Ok(());
        }
        plan.struck = true;
        strike(plan.fault, path)?;
        Err(io::ErrorKind::StorageFull.into())
    }

    fn strike(fault: Fault, path: &Path) -> io::Result<()> {
        let halve = |path: &Path| {
            let file = fs::OpenOptions::new().write(true).open(path)?;
            file.set_len(file.metadata()?.len() / 2)
        };
        match fault {
            Fault::Full => Ok(()),
            Fault::Short => halve(path),
            Fault::PowerLossBefore => {
                let left = path.with_file_name(format!("{TEMPORARY}left"));
                fs::copy(path, &left)?;
                halve(&left)
            }
            Fault::PowerLossAfter if path.is_dir() => fs::remove_dir_all(path),
            Fault::PowerLossAfter => fs::remove_file(path),
        }
    }
}

//! A store that is written over a network.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Acquire;

use lazarr_format::{Code, Error, Result};
use lazarr_store::draft::{Draft, Halt, Request};
use lazarr_store::{RemoteDraft, redacted};

use super::documents::Documents;
use super::edit::Edit;
use super::{Source, WriteOptions, Written, request, write_to};
use crate::call::Call;
use crate::patience::{Leaving, POLL, Patience};
use crate::session::{Options, Session};

pub(super) fn write_far(
    source: Source<'_>,
    url: &str,
    options: &WriteOptions<'_>,
    call: &Call<'_>,
) -> Result<Written> {
    let shown = redacted(url);
    let shown = shown.trim_end_matches('/');
    let inside =
        |name: &String| name.strip_prefix(shown).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if source.stores().iter().any(inside) {
        return Err(Error::new(
            Code::StoreExists,
            format!("`{shown}` is what is read: it cannot be replaced meanwhile"),
        )
        .help("Write to another place"));
    }
    // Nothing is noted where nobody has asked for it: that takes requests of its own.
    let request = if options.resume { request::request(&source, options, call)? } else { None };
    let request = request.map(|text| Request { text, resume: true, differs: request::differs });
    let halt = Halt::default();
    let (draft, written) = aside(call, &halt, |call| {
        let draft = RemoteDraft::begin(url, &options.storage, options.overwrite, request, &halt)?;
        let written = write_to(source, &draft, options, call)?;
        Ok((draft, written))
    })?;
    // Who has asked to stop by now gets no store.
    if call.interrupt.is_some_and(|stop| stop()) {
        halt.tell();
        halt.check()?;
    }
    aside(call, &halt, move |_| {
        let mut draft = draft;
        draft.publish()
    })?;
    Ok(written)
}

/// A store over a network that is changed.
pub(super) fn change_far(url: &str, options: &WriteOptions<'_>, halt: &Halt) -> Result<Edit> {
    // Nobody else changes it from here on.
    let draft = RemoteDraft::edit(url, &options.storage, halt)?;
    let opening = Options { storage: options.storage.clone(), ..Options::default() };
    let session = Session::open_with(url, opening, Some(&|| halt.is_told()))?;
    let documents = Documents::of_store(&session)?;
    Ok(Edit { draft: Box::new(draft), documents, session })
}

/// Does something on a thread of its own, that the caller's is there to be asked whether to stop, whatever waits for a
/// network.
pub(super) fn aside<T: Send>(
    call: &Call<'_>,
    halt: &Halt,
    act: impl FnOnce(&Call<'_>) -> Result<T> + Send,
) -> Result<T> {
    let patience = Patience::new(call.interrupt);
    if !patience.ends() {
        return act(call);
    }
    let caller = std::thread::current();
    let busy = AtomicUsize::new(1);
    let told = || halt.is_told();
    let inner = Call { interrupt: Some(&told), ..call.clone() };
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let _leaving = Leaving::new(&busy, &caller);
            act(&inner)
        });
        let mut asked = Ok(());
        while asked.is_ok() && busy.load(Acquire) > 0 {
            std::thread::park_timeout(POLL);
            asked = patience.poll();
        }
        if asked.is_err() {
            halt.tell();
        }
        let done = thread.join();
        let ended = |_| Error::new(Code::Internal, "a thread ended unexpectedly").help("Please report this");
        asked.and(done.map_err(ended)?)
    })
}

//! Single changes: `delete_v2`, `create_folder_v2`, `move_v2`, `copy_v2`, `restore`.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::Call;
use crate::path::{self, Form, Reference};
use crate::state::relocate::Relocation;
use crate::wire::{self, Refusal};

/// `DeleteArg`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteArg {
    path: String,
    #[serde(default)]
    parent_rev: Option<String>,
}

impl DeleteArg {
    pub(crate) fn check(&self, call: &Call) -> Result<(Reference, Option<String>), Refusal> {
        let target = call.reference(Form::WritePathOrId, &self.path)?;
        match &self.parent_rev {
            Some(rev) if !path::is_rev(rev) => Err(call.bad("parent_rev: did not match pattern [0-9a-f]+")),
            rev => Ok((target, rev.clone())),
        }
    }
}

/// `RelocationPath`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RelocationPath {
    from_path: String,
    to_path: String,
}

impl RelocationPath {
    pub(crate) fn check(&self, call: &Call) -> Result<(Reference, Reference), Refusal> {
        Ok((call.reference(Form::WritePathOrId, &self.from_path)?, call.reference(Form::WritePathOrId, &self.to_path)?))
    }
}

/// `RelocationArg`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RelocationArg {
    from_path: String,
    to_path: String,
    #[serde(default)]
    autorename: bool,
    #[serde(default, rename = "allow_shared_folder")]
    _allow_shared_folder: bool,
    #[serde(default, rename = "allow_ownership_transfer")]
    _allow_ownership_transfer: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateFolderArg {
    path: String,
    #[serde(default)]
    autorename: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RestoreArg {
    path: String,
    rev: String,
}

/// The time that a single commit takes.
pub(crate) async fn pause(call: &Call) {
    if !call.settings.single_commit.is_zero() {
        tokio::time::sleep(call.settings.single_commit).await;
    }
}

/// files.stone, `delete:2`.
pub(crate) async fn delete(call: &Call) -> Result<Value, Refusal> {
    let (target, parent_rev) = call.parse::<DeleteArg>()?.check(call)?;
    pause(call).await;
    let now = call.now().unix;
    let mut world = call.shared.world();
    let done = world.account_mut(call.account).delete(&call.settings, now, &target, parent_rev.as_deref());
    done.map(|metadata| json!({ "metadata": metadata })).map_err(Refusal::Endpoint)
}

/// files.stone, `create_folder:2`.
pub(crate) async fn create_folder(call: &Call) -> Result<Value, Refusal> {
    let CreateFolderArg { path, autorename } = call.parse()?;
    let target = call.reference(Form::WritePath, &path)?;
    pause(call).await;
    let mut world = call.shared.world();
    let account = world.account_mut(call.account);
    let done = account.create_folder(&call.settings, &target, autorename);
    let key = done.map_err(|tags| Refusal::Endpoint(wire::union(&format!("path/{tags}"))))?;
    Ok(json!({ "metadata": account.untagged(&call.settings, &key) }))
}

/// files.stone, `move:2` and `copy:2`.
pub(crate) async fn relocate(call: &Call, copy: bool) -> Result<Value, Refusal> {
    let RelocationArg { from_path, to_path, autorename, .. } = call.parse()?;
    let (from, to) = RelocationPath { from_path, to_path }.check(call)?;
    pause(call).await;
    let now = call.now().unix;
    let mut world = call.shared.world();
    let account = world.account_mut(call.account);
    let relocation = Relocation { copy, from: &from, to: &to, autorename };
    let key = account.relocate(&call.settings, now, &relocation).map_err(|tags| Refusal::endpoint(&tags))?;
    Ok(json!({ "metadata": account.metadata(&call.settings, &key) }))
}

/// files.stone, `restore`.
pub(crate) async fn restore(call: &Call) -> Result<Value, Refusal> {
    let RestoreArg { path, rev } = call.parse()?;
    let target = call.reference(Form::WritePath, &path)?;
    if !path::is_rev(&rev) {
        return Err(call.bad("rev: did not match pattern [0-9a-f]+"));
    }
    pause(call).await;
    let now = call.now().unix;
    let mut world = call.shared.world();
    let account = world.account_mut(call.account);
    let key = account.restore(&call.settings, now, &target, &rev).map_err(|tags| Refusal::endpoint(&tags))?;
    Ok(account.untagged(&call.settings, &key))
}

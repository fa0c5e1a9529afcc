//! Where a gateway's memory is, for every command that asks it.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use telephony_core::Secret;

use super::{CliError, accounts::missing};
use crate::store::{DatabaseUrl, KeyRing, Organization, Store};

/// The name of the organization that a first start makes, and how many calls it may have at the same time.
const FIRST_ORGANIZATION: &str = "default";
pub(super) const FIRST_LIMIT: u32 = 10;

/// How long a link that signs a browser in is good.
pub(super) const LINK_IS_GOOD: Duration = Duration::from_secs(24 * 3600);

/// An organization by its name; without one, the first, which is made if there is none. The second value says whether it was.
pub(super) async fn organization(store: &Store, name: Option<&str>) -> Result<(Organization, bool), CliError> {
    if let Some(name) = name {
        return Ok((existing_organization(store, name).await?, false));
    }
    match store.organizations().await?.into_iter().next() {
        Some(first) => Ok((first, false)),
        None => Ok((store.create_organization(FIRST_ORGANIZATION, FIRST_LIMIT).await?, true)),
    }
}

/// An organization by its name.
pub(super) async fn existing_organization(store: &Store, name: &str) -> Result<Organization, CliError> {
    let organizations = store.organizations().await?;
    let known: Vec<String> = organizations.iter().map(|organization| organization.name.clone()).collect();
    organizations.into_iter().find(|known| known.name == name).ok_or_else(|| missing("organization", name, &known))
}

/// The names of the files in the folder.
const DATABASE: &str = "telephony.db";
const KEY_FILE: &str = "telephony.key";

#[derive(Clone, Debug, Args)]
pub(super) struct StorageArguments {
    /// The folder of the database, its key and the recordings
    #[arg(long, global = true, value_name = "FOLDER", default_value = "telephony-data", env = "TELEPHONY_DATA")]
    pub(super) data: PathBuf,
    /// The database: `sqlite:` and a file, or postgres://… [default: telephony.db in the folder]
    #[arg(long, global = true, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database: Option<String>,
    /// The master keys that secrets are encrypted with: base64 of 32 bytes, several separated by commas, the newest first [default: the
    /// file telephony.key in the folder, made on the first start]
    #[arg(long, global = true, value_name = "KEYS", env = "TELEPHONY_MASTER_KEY", hide_env_values = true, value_parser = secret)]
    master_key: Option<Secret>,
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

impl StorageArguments {
    /// Which database it is.
    pub(super) fn url(&self) -> Result<DatabaseUrl, CliError> {
        match &self.database {
            Some(text) => text.parse().map_err(|error| CliError::Usage(format!("--database: {error}"))),
            None => Ok(DatabaseUrl::Sqlite(self.data.join(DATABASE))),
        }
    }

    /// The file that the keys are in, unless they were given.
    pub(super) fn key_file(&self) -> Option<PathBuf> {
        self.master_key.is_none().then(|| self.data.join(KEY_FILE))
    }

    pub(super) fn keys(&self) -> Result<KeyRing, CliError> {
        let keys = match (&self.master_key, self.key_file()) {
            (Some(keys), _) => KeyRing::parse(keys),
            (None, Some(file)) => KeyRing::from_file(&file),
            (None, None) => unreachable!("keys are given, or in a file"),
        };
        keys.map_err(|error| CliError::Usage(telephony_core::error_chain(&error)))
    }

    /// Opens it, and makes it if there is none.
    pub(super) async fn open(&self) -> Result<Store, CliError> {
        Ok(Store::open(&self.url()?, self.keys()?).await?)
    }
}

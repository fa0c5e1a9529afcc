//! Organizations, and their carrier accounts in `organization_configuration`.

use std::fmt;

use serde_json::Value;
use telephony_core::{OrganizationId, Timestamp};
use uuid::Uuid;

use super::{
    Store, StoreError,
    db::{from_row, micros, now, on, timestamp},
    name_is_taken,
    vault::Sealed,
};

/// The key of carrier accounts among the stored configurations of an organization.
pub const TELEPHONY_CONFIGURATION: &str = "TELEPHONY_CONFIGURATION";

/// A tenant.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Its name.
    pub name: String,
    /// How many calls it may have at the same time.
    pub max_concurrent_calls: u32,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A carrier account of an organization.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Account {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub organization: OrganizationId,
    /// What its owner calls it; no two of an organization are called the same.
    pub name: String,
    /// The provider.
    pub provider: String,
    /// What the carrier calls the account.
    pub account_id: Option<String>,
    /// The caller ID of calls that name none, in E.164 or a SIP URI.
    pub default_from: Option<String>,
    /// Whether outbound calls that name no account use it.
    pub is_default: bool,
    /// The configuration, secrets and all.
    pub config: Value,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// Whether it worked when the carrier was asked last; `None` while nobody has asked since its configuration was changed.
    pub health: Option<AccountHealth>,
    /// Whether a simulated carrier is behind it.
    pub is_sandbox: bool,
}

/// What came of asking a carrier about an account.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccountHealth {
    /// When that was.
    pub checked_at: Timestamp,
    /// What was wrong, in the carrier's words; `None`: it works.
    pub problem: Option<String>,
}

/// Shows no configuration.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("provider", &self.provider)
            .field("is_default", &self.is_default)
            .finish_non_exhaustive()
    }
}

/// An account to store.
#[derive(Clone)]
pub struct NewAccount {
    /// What its owner calls it.
    pub name: String,
    /// The provider.
    pub provider: String,
    /// What the carrier calls the account.
    pub account_id: Option<String>,
    /// The caller ID of calls that name none.
    pub default_from: Option<String>,
    /// The configuration, checked.
    pub config: Value,
    /// Whether it becomes the default of an organization that has none. Not so of an account that is there for a while only.
    pub default_if_none: bool,
}

/// What changes in an account; what is absent stays.
#[derive(Clone, Default)]
pub struct AccountChange {
    /// Another name.
    pub name: Option<String>,
    /// Another caller ID, or none.
    pub default_from: Option<Option<String>>,
    /// Another configuration, and what the carrier calls the account in it.
    pub config: Option<(Value, Option<String>)>,
}

struct OrganizationRow {
    id: Uuid,
    name: String,
    max_concurrent_calls: i64,
    created_at: i64,
}
from_row!(OrganizationRow { id, name, max_concurrent_calls, created_at });

impl From<OrganizationRow> for Organization {
    fn from(row: OrganizationRow) -> Self {
        Self {
            id: row.id.into(),
            name: row.name,
            max_concurrent_calls: u32::try_from(row.max_concurrent_calls).unwrap_or(0),
            created_at: timestamp(row.created_at),
        }
    }
}

struct AccountRow {
    id: Uuid,
    organization_id: Uuid,
    name: String,
    provider: String,
    account_id: Option<String>,
    default_from: Option<String>,
    is_default: bool,
    value: Vec<u8>,
    value_key: String,
    created_at: i64,
    updated_at: i64,
    checked_at: Option<i64>,
    check_problem: Option<String>,
    is_sandbox: bool,
}
from_row!(AccountRow {
    id,
    organization_id,
    name,
    provider,
    account_id,
    default_from,
    is_default,
    value,
    value_key,
    created_at,
    updated_at,
    checked_at,
    check_problem,
    is_sandbox,
});

struct SealedRow {
    id: Uuid,
    organization_id: Uuid,
    value: Vec<u8>,
    value_key: String,
}
from_row!(SealedRow { id, organization_id, value, value_key });

/// Where an account's configuration stands, for the vault.
fn place(id: Uuid, organization: Uuid) -> String {
    format!("organization_configuration/{organization}/{id}")
}

impl Store {
    /// Makes an organization.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if the name is taken.
    pub async fn create_organization(&self, name: &str, max_concurrent_calls: u32) -> Result<Organization, StoreError> {
        let id = OrganizationId::generate();
        let inserted = on!(self.db, write, pool => sqlx::query(
            "INSERT INTO organization (id, name, max_concurrent_calls, created_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (name) DO NOTHING",
        )
        .bind(Uuid::from(id))
        .bind(name)
        .bind(i64::from(max_concurrent_calls))
        .bind(now())
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))?;
        if inserted == 0 {
            return Err(StoreError::Conflict { field: "name", reason: format!("there is an organization {name:?}") });
        }
        self.organization(id).await?.ok_or(StoreError::Database(sqlx::Error::RowNotFound))
    }

    /// Every organization, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn organizations(&self) -> Result<Vec<Organization>, StoreError> {
        let rows: Vec<OrganizationRow> = on!(self.db, read, pool => sqlx::query_as(
            "SELECT id, name, max_concurrent_calls, created_at FROM organization ORDER BY created_at, id",
        )
        .fetch_all(pool)
        .await)?;
        Ok(rows.into_iter().map(Organization::from).collect())
    }

    /// An organization.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn organization(&self, id: OrganizationId) -> Result<Option<Organization>, StoreError> {
        let row: Option<OrganizationRow> = on!(self.db, read, pool => sqlx::query_as(
            "SELECT id, name, max_concurrent_calls, created_at FROM organization WHERE id = $1",
        )
        .bind(Uuid::from(id))
        .fetch_optional(pool)
        .await)?;
        Ok(row.map(Organization::from))
    }

    /// Sets how many calls an organization may have at the same time.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn set_max_concurrent_calls(&self, id: OrganizationId, most: u32) -> Result<(), StoreError> {
        on!(self.db, write, pool => sqlx::query("UPDATE organization SET max_concurrent_calls = $2 WHERE id = $1")
            .bind(Uuid::from(id))
            .bind(i64::from(most))
            .execute(pool)
            .await
            .map(|_| ()))?;
        Ok(())
    }

    /// Calls an organization something else. False if there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if the name is taken.
    pub async fn rename_organization(&self, id: OrganizationId, name: &str) -> Result<bool, StoreError> {
        let outcome = on!(self.db, write, pool => sqlx::query("UPDATE organization SET name = $2 WHERE id = $1")
            .bind(Uuid::from(id))
            .bind(name)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()));
        Ok(outcome.map_err(|error| name_is_taken(error, name))? > 0)
    }

    /// How many accounts an organization has.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn count_accounts(&self, owner: OrganizationId) -> Result<u32, StoreError> {
        let (count,): (i64,) = on!(self.db, read, pool => sqlx::query_as(
            "SELECT COUNT(*) FROM organization_configuration WHERE organization_id = $1 AND key = $2",
        )
        .bind(Uuid::from(owner))
        .bind(TELEPHONY_CONFIGURATION)
        .fetch_one(pool)
        .await)?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Stores an account, its configuration encrypted. Where the organization has no default, it is the default from now on, if it may be.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if the name is taken.
    pub async fn create_account(&self, owner: OrganizationId, new: NewAccount) -> Result<Account, StoreError> {
        let (id, organization) = (Uuid::now_v7(), Uuid::from(owner));
        let sealed = self.seal_config(id, organization, &new.config)?;
        let time = now();
        // The default is decided where it is written, so that of two that come at the same time one is.
        let outcome = on!(self.db, write, pool => sqlx::query(
            "INSERT INTO organization_configuration (id, organization_id, key, name, provider, account_id, default_from,
                 is_default, value, value_key, created_at, updated_at)
             SELECT $1, $2, $3, $4, $5, $6, $7,
                 $11 AND NOT EXISTS (
                     SELECT 1 FROM organization_configuration WHERE organization_id = $2 AND key = $3 AND is_default = $12
                 ),
                 $8, $9, $10, $10",
        )
        .bind(id)
        .bind(organization)
        .bind(TELEPHONY_CONFIGURATION)
        .bind(&new.name)
        .bind(&new.provider)
        .bind(&new.account_id)
        .bind(&new.default_from)
        .bind(sealed.bytes)
        .bind(sealed.key_id)
        .bind(time)
        .bind(new.default_if_none)
        .bind(true)
        .execute(pool)
        .await
        .map(|_| ()));
        outcome.map_err(|error| name_is_taken(error, &new.name))?;
        self.account(owner, id).await?.ok_or(StoreError::Database(sqlx::Error::RowNotFound))
    }

    /// The accounts of an organization, by name.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn accounts(&self, owner: OrganizationId) -> Result<Vec<Account>, StoreError> {
        let rows: Vec<AccountRow> = on!(self.db, read, pool => sqlx::query_as(
            "SELECT id, organization_id, name, provider, account_id, default_from, is_default, value, value_key, created_at,
                 updated_at, checked_at, check_problem, is_sandbox
             FROM organization_configuration WHERE organization_id = $1 AND key = $2 ORDER BY name",
        )
        .bind(Uuid::from(owner))
        .bind(TELEPHONY_CONFIGURATION)
        .fetch_all(pool)
        .await)?;
        rows.into_iter().map(|row| self.read_account(row)).collect()
    }

    /// An account of an organization; `None` if there is none, or if it is another's.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn account(&self, owner: OrganizationId, id: Uuid) -> Result<Option<Account>, StoreError> {
        let row: Option<AccountRow> = on!(self.db, read, pool => sqlx::query_as(
            "SELECT id, organization_id, name, provider, account_id, default_from, is_default, value, value_key, created_at,
                 updated_at, checked_at, check_problem, is_sandbox
             FROM organization_configuration WHERE organization_id = $1 AND key = $2 AND id = $3",
        )
        .bind(Uuid::from(owner))
        .bind(TELEPHONY_CONFIGURATION)
        .bind(id)
        .fetch_optional(pool)
        .await)?;
        row.map(|row| self.read_account(row)).transpose()
    }

    /// The account that outbound calls use which name none.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn default_account(&self, owner: OrganizationId) -> Result<Option<Account>, StoreError> {
        Ok(self.accounts(owner).await?.into_iter().find(|account| account.is_default))
    }

    /// The accounts, of whatever organization, that a webhook may be for: those of a provider, and where the webhook says what the
    /// carrier calls the account, those that are called so.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn accounts_of_carrier(
        &self,
        provider: &str,
        account_id: Option<&str>,
    ) -> Result<Vec<Account>, StoreError> {
        let rows: Vec<AccountRow> = on!(self.db, read, pool => sqlx::query_as(
            "SELECT id, organization_id, name, provider, account_id, default_from, is_default, value, value_key, created_at,
                 updated_at, checked_at, check_problem, is_sandbox
             FROM organization_configuration
             WHERE key = $1 AND provider = $2 AND ($3 IS NULL OR account_id = $3) ORDER BY id",
        )
        .bind(TELEPHONY_CONFIGURATION)
        .bind(provider)
        .bind(account_id)
        .fetch_all(pool)
        .await)?;
        rows.into_iter().map(|row| self.read_account(row)).collect()
    }

    /// Changes an account; `None` if there is none. Whether it works is not known any more if its configuration is another.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if the new name is taken.
    pub async fn change_account(
        &self,
        owner: OrganizationId,
        id: Uuid,
        change: AccountChange,
    ) -> Result<Option<Account>, StoreError> {
        let Some(current) = self.account(owner, id).await? else { return Ok(None) };
        let name = change.name.unwrap_or(current.name);
        let default_from = change.default_from.unwrap_or(current.default_from);
        let is_other = change.config.as_ref().is_some_and(|(config, _)| *config != current.config);
        let (config, account_id) = change.config.unwrap_or((current.config, current.account_id));
        let sealed = self.seal_config(id, owner.into(), &config)?;
        let outcome = on!(self.db, write, pool => sqlx::query(
            "UPDATE organization_configuration
             SET name = $3, default_from = $4, account_id = $5, value = $6, value_key = $7, updated_at = $8,
                 checked_at = CASE WHEN $9 THEN NULL ELSE checked_at END,
                 check_problem = CASE WHEN $9 THEN NULL ELSE check_problem END
             WHERE organization_id = $1 AND id = $2",
        )
        .bind(Uuid::from(owner))
        .bind(id)
        .bind(&name)
        .bind(&default_from)
        .bind(&account_id)
        .bind(sealed.bytes)
        .bind(sealed.key_id)
        .bind(now())
        .bind(is_other)
        .execute(pool)
        .await
        .map(|_| ()));
        outcome.map_err(|error| name_is_taken(error, &name))?;
        self.account(owner, id).await
    }

    /// Remembers what came of asking the carrier about an account: what was wrong, or `None` if it works. Of an account that was changed
    /// meanwhile nothing is remembered: it was not the one that was asked about.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn account_checked(&self, account: &Account, problem: Option<&str>) -> Result<(), StoreError> {
        on!(self.db, write, pool => sqlx::query(
            "UPDATE organization_configuration SET checked_at = $3, check_problem = $4 WHERE id = $1 AND updated_at = $2",
        )
        .bind(account.id)
        .bind(micros(account.updated_at))
        .bind(now())
        .bind(problem)
        .execute(pool)
        .await
        .map(|_| ()))?;
        Ok(())
    }

    /// Says that a simulated carrier is behind an account.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn mark_sandbox_account(&self, account: Uuid) -> Result<(), StoreError> {
        on!(self.db, write, pool => sqlx::query("UPDATE organization_configuration SET is_sandbox = $2 WHERE id = $1")
            .bind(account)
            .bind(true)
            .execute(pool)
            .await
            .map(|_| ()))?;
        Ok(())
    }

    /// Makes an account the default of its organization. False if there is no such account.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn set_default_account(&self, owner: OrganizationId, id: Uuid) -> Result<bool, StoreError> {
        if self.account(owner, id).await?.is_none() {
            return Ok(false);
        }
        // First none, then one: the index allows no two, not even in between.
        on!(self.db, write, pool => {
            let mut transaction = pool.begin().await?;
            sqlx::query("UPDATE organization_configuration SET is_default = $3 WHERE organization_id = $1 AND key = $2")
                .bind(Uuid::from(owner))
                .bind(TELEPHONY_CONFIGURATION)
                .bind(false)
                .execute(&mut *transaction)
                .await?;
            let set = sqlx::query(
                "UPDATE organization_configuration SET is_default = $4 WHERE organization_id = $1 AND key = $2 AND id = $3",
            )
            .bind(Uuid::from(owner))
            .bind(TELEPHONY_CONFIGURATION)
            .bind(id)
            .bind(true)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            if set == 0 {
                // It was deleted meanwhile: the old default stays.
                transaction.rollback().await?;
                return Ok(false);
            }
            transaction.commit().await?;
        });
        Ok(true)
    }

    /// Deletes an account and its numbers; its calls stay written. False if there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn delete_account(&self, owner: OrganizationId, id: Uuid) -> Result<bool, StoreError> {
        let deleted = on!(self.db, write, pool => sqlx::query(
            "DELETE FROM organization_configuration WHERE organization_id = $1 AND key = $2 AND id = $3",
        )
        .bind(Uuid::from(owner))
        .bind(TELEPHONY_CONFIGURATION)
        .bind(id)
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(deleted > 0)
    }

    /// Encrypts with the newest key what is encrypted with another, and says how many values that were. It can be stopped and run
    /// again at any time.
    ///
    /// # Errors
    ///
    /// [`StoreError::Vault`] if a key is missing that a value needs.
    pub async fn reencrypt(&self) -> Result<usize, StoreError> {
        let current = self.vault.current_key_id();
        let rows: Vec<SealedRow> = on!(self.db, read, pool => sqlx::query_as(
            "SELECT id, organization_id, value, value_key FROM organization_configuration WHERE value_key <> $1 ORDER BY id",
        )
        .bind(&current)
        .fetch_all(pool)
        .await)?;
        let mut changed = 0;
        for row in rows {
            let place = place(row.id, row.organization_id);
            let old = Sealed { bytes: row.value, key_id: row.value_key };
            let fresh = self.vault.seal(&self.vault.open(&old, &place)?, &place)?;
            // Unless it was changed meanwhile, and has the newest key thereby.
            let done = on!(self.db, write, pool => sqlx::query(
                "UPDATE organization_configuration SET value = $2, value_key = $3 WHERE id = $1 AND value_key = $4 AND value = $5",
            )
            .bind(row.id)
            .bind(fresh.bytes)
            .bind(fresh.key_id)
            .bind(old.key_id)
            .bind(old.bytes)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
            changed += usize::from(done > 0);
        }
        Ok(changed)
    }

    fn seal_config(&self, id: Uuid, organization: Uuid, config: &Value) -> Result<Sealed, StoreError> {
        Ok(self.vault.seal(config.to_string().as_bytes(), &place(id, organization))?)
    }

    fn read_account(&self, row: AccountRow) -> Result<Account, StoreError> {
        let sealed = Sealed { bytes: row.value, key_id: row.value_key };
        let plain = self.vault.open(&sealed, &place(row.id, row.organization_id))?;
        let config = serde_json::from_slice(&plain).map_err(|error| StoreError::damaged("configuration", &error))?;
        Ok(Account {
            id: row.id,
            organization: row.organization_id.into(),
            name: row.name,
            provider: row.provider,
            account_id: row.account_id,
            default_from: row.default_from,
            is_default: row.is_default,
            config,
            created_at: timestamp(row.created_at),
            updated_at: timestamp(row.updated_at),
            health: row
                .checked_at
                .map(|checked_at| AccountHealth { checked_at: timestamp(checked_at), problem: row.check_problem }),
            is_sandbox: row.is_sandbox,
        })
    }
}

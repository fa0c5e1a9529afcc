//! Who may ask: API tokens, sign-in links and sessions. All are random, shown once, and stored by their SHA-256.

use telephony_core::{OrganizationId, Secret, Timestamp, signing::sha256_hex};
use uuid::Uuid;

use super::{
    Store, StoreError,
    db::{from_row, now, on, timestamp},
};

/// What API tokens begin with, so that scanners of leaked secrets know them.
const PREFIX: &str = "tel_";

/// An API token as it is listed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ApiToken {
    /// Its id.
    pub id: Uuid,
    /// What its owner calls it.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was used last, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A fresh token. This is the only time that it can be read.
#[derive(Debug)]
pub struct IssuedToken {
    /// Its id.
    pub id: Uuid,
    /// The token.
    pub token: Secret,
}

struct TokenRow {
    id: Uuid,
    name: String,
    created_at: i64,
    last_used_at: Option<i64>,
    revoked_at: Option<i64>,
}
from_row!(TokenRow { id, name, created_at, last_used_at, revoked_at });

/// 32 random bytes in hexadecimal.
pub(super) fn random_token() -> String {
    rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn hash(token: &str) -> String {
    sha256_hex(token.as_bytes())
}

/// How exact the time of a token's last use is: not every request is worth a write.
const LAST_USED_EVERY: i64 = 60_000_000;

impl Store {
    /// Makes an API token of an organization.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn create_api_token(&self, owner: OrganizationId, name: &str) -> Result<IssuedToken, StoreError> {
        let (id, token) = (Uuid::now_v7(), format!("{PREFIX}{}", random_token()));
        on!(self.db, write, pool => sqlx::query(
            "INSERT INTO api_token (id, organization_id, name, hash, created_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(id)
        .bind(Uuid::from(owner))
        .bind(name)
        .bind(hash(&token))
        .bind(now())
        .execute(pool)
        .await
        .map(|_| ()))?;
        Ok(IssuedToken { id, token: Secret::new(token) })
    }

    /// The API tokens of an organization, oldest first, revoked ones too.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn api_tokens(&self, owner: OrganizationId) -> Result<Vec<ApiToken>, StoreError> {
        let rows: Vec<TokenRow> = on!(self.db, read, pool => sqlx::query_as(
            "SELECT id, name, created_at, last_used_at, revoked_at FROM api_token WHERE organization_id = $1 ORDER BY id",
        )
        .bind(Uuid::from(owner))
        .fetch_all(pool)
        .await)?;
        let token = |row: TokenRow| ApiToken {
            id: row.id,
            name: row.name,
            created_at: timestamp(row.created_at),
            last_used_at: row.last_used_at.map(timestamp),
            revoked_at: row.revoked_at.map(timestamp),
        };
        Ok(rows.into_iter().map(token).collect())
    }

    /// Revokes a token for good. False if there is none that is not revoked already.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn revoke_api_token(&self, owner: OrganizationId, id: Uuid) -> Result<bool, StoreError> {
        let revoked = on!(self.db, write, pool => sqlx::query(
            "UPDATE api_token SET revoked_at = $3 WHERE organization_id = $1 AND id = $2 AND revoked_at IS NULL",
        )
        .bind(Uuid::from(owner))
        .bind(id)
        .bind(now())
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(revoked > 0)
    }

    /// Whose token this is; `None` if it is nobody's or revoked.
    ///
    /// The table is searched by the token's hash: how long that takes says nothing about the token.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn owner_of_api_token(&self, token: &Secret) -> Result<Option<OrganizationId>, StoreError> {
        let hash = hash(token.expose());
        let owner: Option<(Uuid, Option<i64>)> = on!(self.db, read, pool => sqlx::query_as(
            "SELECT organization_id, last_used_at FROM api_token WHERE hash = $1 AND revoked_at IS NULL",
        )
        .bind(&hash)
        .fetch_optional(pool)
        .await)?;
        let Some((owner, last_used_at)) = owner else { return Ok(None) };
        let time = now();
        if last_used_at.is_none_or(|last| time - last > LAST_USED_EVERY) {
            on!(self.db, write, pool => sqlx::query("UPDATE api_token SET last_used_at = $2 WHERE hash = $1")
                .bind(&hash)
                .bind(time)
                .execute(pool)
                .await
                .map(|_| ()))?;
        }
        Ok(Some(owner.into()))
    }

    /// Makes a link's token that signs a browser in once, until it expires.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn create_sign_in_token(
        &self,
        owner: OrganizationId,
        valid_for: std::time::Duration,
    ) -> Result<Secret, StoreError> {
        let token = random_token();
        let time = now();
        on!(self.db, write, pool => sqlx::query(
            "INSERT INTO sign_in_token (hash, organization_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
        )
        .bind(hash(&token))
        .bind(Uuid::from(owner))
        .bind(time)
        .bind(after(time, valid_for))
        .execute(pool)
        .await
        .map(|_| ()))?;
        Ok(Secret::new(token))
    }

    /// Uses a sign-in token up and opens a session; `None` if it is not good, or not any more.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn sign_in(
        &self,
        token: &Secret,
        session_lasts: std::time::Duration,
    ) -> Result<Option<(OrganizationId, Secret)>, StoreError> {
        let time = now();
        let session = random_token();
        let owner: Option<Uuid> = on!(self.db, write, pool => {
            let mut transaction = pool.begin().await?;
            let owner: Option<(Uuid,)> = sqlx::query_as(
                "UPDATE sign_in_token SET used_at = $2 WHERE hash = $1 AND used_at IS NULL AND expires_at > $2
                 RETURNING organization_id",
            )
            .bind(hash(token.expose()))
            .bind(time)
            .fetch_optional(&mut *transaction)
            .await?;
            if let Some((owner,)) = owner {
                sqlx::query("INSERT INTO session (hash, organization_id, created_at, expires_at) VALUES ($1, $2, $3, $4)")
                    .bind(hash(&session))
                    .bind(owner)
                    .bind(time)
                    .bind(after(time, session_lasts))
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            owner.map(|(owner,)| owner)
        });
        Ok(owner.map(|owner| (owner.into(), Secret::new(session))))
    }

    /// Whose session this is; `None` if it is nobody's or has expired.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn owner_of_session(&self, session: &Secret) -> Result<Option<OrganizationId>, StoreError> {
        let owner: Option<(Uuid,)> = on!(self.db, read, pool => sqlx::query_as(
            "SELECT organization_id FROM session WHERE hash = $1 AND expires_at > $2",
        )
        .bind(hash(session.expose()))
        .bind(now())
        .fetch_optional(pool)
        .await)?;
        Ok(owner.map(|(owner,)| owner.into()))
    }

    /// Ends a session.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn sign_out(&self, session: &Secret) -> Result<(), StoreError> {
        on!(self.db, write, pool => sqlx::query("DELETE FROM session WHERE hash = $1")
            .bind(hash(session.expose()))
            .execute(pool)
            .await
            .map(|_| ()))?;
        Ok(())
    }
}

pub(super) fn after(time: i64, length: std::time::Duration) -> i64 {
    time.saturating_add(i64::try_from(length.as_micros()).unwrap_or(i64::MAX))
}

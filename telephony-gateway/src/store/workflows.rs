//! Workflows, and the phone numbers that they answer.

use std::fmt;

use serde_json::Value;
use telephony_core::{OrganizationId, PhoneNumber, Timestamp, WorkflowId};
use uuid::Uuid;

use super::{
    Store, StoreError,
    db::{from_row, now, on, timestamp},
    name_is_taken,
};

/// What calls are for: who talks, and whether it is recorded.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Workflow {
    /// Its id.
    pub id: WorkflowId,
    /// Whose it is.
    pub organization: OrganizationId,
    /// Its name; no two of an organization are called the same.
    pub name: String,
    /// The agent, as JSON: `{"type": "echo"}`.
    pub agent: Value,
    /// Whether both sides are recorded.
    pub record: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// A workflow to store, or what one becomes.
#[derive(Clone, PartialEq)]
pub struct NewWorkflow {
    /// Its name.
    pub name: String,
    /// The agent, as JSON.
    pub agent: Value,
    /// Whether both sides are recorded.
    pub record: bool,
}

/// Without the agent, whose URL may hold a secret.
impl fmt::Debug for Workflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workflow")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("record", &self.record)
            .finish_non_exhaustive()
    }
}

/// See [`Workflow`].
impl fmt::Debug for NewWorkflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewWorkflow").field("name", &self.name).field("record", &self.record).finish_non_exhaustive()
    }
}

/// A phone number of an account.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PhoneNumberRow {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub organization: OrganizationId,
    /// The account that it belongs to.
    pub configuration: Uuid,
    /// The number.
    pub number: PhoneNumber,
    /// What its owner calls it.
    pub label: Option<String>,
    /// The country, ISO 3166-1 alpha-2, where the carrier says it.
    pub country: Option<String>,
    /// The carrier's id of it, where it has one.
    pub provider_id: Option<String>,
    /// The workflow that answers it.
    pub workflow: Option<WorkflowId>,
}

/// A number to store.
#[derive(Clone, Debug, PartialEq)]
pub struct NewNumber {
    /// The number.
    pub number: PhoneNumber,
    /// What its owner calls it.
    pub label: Option<String>,
    /// The country.
    pub country: Option<String>,
    /// The carrier's id of it.
    pub provider_id: Option<String>,
}

impl From<telephony_core::OwnedNumber> for NewNumber {
    fn from(owned: telephony_core::OwnedNumber) -> Self {
        Self { number: owned.number, label: owned.label, country: owned.country, provider_id: owned.provider_id }
    }
}

struct WorkflowRow {
    id: Uuid,
    organization_id: Uuid,
    name: String,
    agent: String,
    record: bool,
    created_at: i64,
    updated_at: i64,
}
from_row!(WorkflowRow { id, organization_id, name, agent, record, created_at, updated_at });

impl TryFrom<WorkflowRow> for Workflow {
    type Error = StoreError;

    fn try_from(row: WorkflowRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id.into(),
            organization: row.organization_id.into(),
            name: row.name,
            agent: serde_json::from_str(&row.agent).map_err(|error| StoreError::damaged("agent", &error))?,
            record: row.record,
            created_at: timestamp(row.created_at),
            updated_at: timestamp(row.updated_at),
        })
    }
}

struct NumberRow {
    id: Uuid,
    organization_id: Uuid,
    configuration_id: Uuid,
    number: String,
    label: Option<String>,
    country: Option<String>,
    provider_id: Option<String>,
    workflow_id: Option<Uuid>,
}
from_row!(NumberRow { id, organization_id, configuration_id, number, label, country, provider_id, workflow_id });

impl TryFrom<NumberRow> for PhoneNumberRow {
    type Error = StoreError;

    fn try_from(row: NumberRow) -> Result<Self, StoreError> {
        let damaged = |error: telephony_core::PhoneNumberError| StoreError::Damaged {
            what: "phone number",
            reason: error.to_string(),
        };
        Ok(Self {
            id: row.id,
            organization: row.organization_id.into(),
            configuration: row.configuration_id,
            number: row.number.parse().map_err(damaged)?,
            label: row.label,
            country: row.country,
            provider_id: row.provider_id,
            workflow: row.workflow_id.map(WorkflowId::from),
        })
    }
}

impl Store {
    /// Stores a workflow.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if the name is taken.
    pub async fn create_workflow(&self, owner: OrganizationId, new: &NewWorkflow) -> Result<Workflow, StoreError> {
        let id = WorkflowId::generate();
        let outcome = on!(self.db, write, pool => sqlx::query(
            "INSERT INTO workflow (id, organization_id, name, agent, record, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $6)",
        )
        .bind(Uuid::from(id))
        .bind(Uuid::from(owner))
        .bind(&new.name)
        .bind(new.agent.to_string())
        .bind(new.record)
        .bind(now())
        .execute(pool)
        .await
        .map(|_| ()));
        outcome.map_err(|error| name_is_taken(error, &new.name))?;
        self.workflow(owner, id).await?.ok_or(StoreError::Database(sqlx::Error::RowNotFound))
    }

    /// The workflows of an organization, by name.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn workflows(&self, owner: OrganizationId) -> Result<Vec<Workflow>, StoreError> {
        let rows: Vec<WorkflowRow> = on!(self.db, read, pool => sqlx::query_as(
            "SELECT id, organization_id, name, agent, record, created_at, updated_at
             FROM workflow WHERE organization_id = $1 ORDER BY name",
        )
        .bind(Uuid::from(owner))
        .fetch_all(pool)
        .await)?;
        rows.into_iter().map(Workflow::try_from).collect()
    }

    /// A workflow of an organization; `None` if there is none, or if it is another's.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn workflow(&self, owner: OrganizationId, id: WorkflowId) -> Result<Option<Workflow>, StoreError> {
        let row: Option<WorkflowRow> = on!(self.db, read, pool => sqlx::query_as(
            "SELECT id, organization_id, name, agent, record, created_at, updated_at
             FROM workflow WHERE organization_id = $1 AND id = $2",
        )
        .bind(Uuid::from(owner))
        .bind(Uuid::from(id))
        .fetch_optional(pool)
        .await)?;
        row.map(Workflow::try_from).transpose()
    }

    /// Changes a workflow; `None` if there is none. Calls that are under way go on as they began.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if the new name is taken.
    pub async fn change_workflow(
        &self,
        owner: OrganizationId,
        id: WorkflowId,
        new: &NewWorkflow,
    ) -> Result<Option<Workflow>, StoreError> {
        let outcome = on!(self.db, write, pool => sqlx::query(
            "UPDATE workflow SET name = $3, agent = $4, record = $5, updated_at = $6 WHERE organization_id = $1 AND id = $2",
        )
        .bind(Uuid::from(owner))
        .bind(Uuid::from(id))
        .bind(&new.name)
        .bind(new.agent.to_string())
        .bind(new.record)
        .bind(now())
        .execute(pool)
        .await
        .map(|_| ()));
        outcome.map_err(|error| name_is_taken(error, &new.name))?;
        self.workflow(owner, id).await
    }

    /// Deletes a workflow. Its numbers are answered by none then; its calls stay written. False if there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn delete_workflow(&self, owner: OrganizationId, id: WorkflowId) -> Result<bool, StoreError> {
        let deleted = on!(self.db, write, pool => sqlx::query(
            "DELETE FROM workflow WHERE organization_id = $1 AND id = $2",
        )
        .bind(Uuid::from(owner))
        .bind(Uuid::from(id))
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(deleted > 0)
    }

    /// Stores numbers of an account. What is known of one that is there already is renewed, and which workflow answers it stays. Returns
    /// how many are new.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn import_numbers(
        &self,
        owner: OrganizationId,
        configuration: Uuid,
        numbers: &[NewNumber],
    ) -> Result<usize, StoreError> {
        let time = now();
        let mut added = 0;
        on!(self.db, write, pool => {
            let mut transaction = pool.begin().await?;
            for new in numbers {
                let id = Uuid::now_v7();
                let stored: (Uuid,) = sqlx::query_as(
                    "INSERT INTO phone_number (id, organization_id, configuration_id, number, label, country, provider_id,
                         created_at, updated_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
                     ON CONFLICT (configuration_id, number) DO UPDATE
                     SET label = COALESCE(excluded.label, phone_number.label),
                         country = COALESCE(excluded.country, phone_number.country),
                         provider_id = COALESCE(excluded.provider_id, phone_number.provider_id), updated_at = excluded.updated_at
                     RETURNING id",
                )
                .bind(id)
                .bind(Uuid::from(owner))
                .bind(configuration)
                .bind(new.number.as_e164())
                .bind(&new.label)
                .bind(&new.country)
                .bind(&new.provider_id)
                .bind(time)
                .fetch_one(&mut *transaction)
                .await?;
                added += usize::from(stored.0 == id);
            }
            transaction.commit().await?;
        });
        Ok(added)
    }

    /// The numbers of an organization, in order.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn numbers(&self, owner: OrganizationId) -> Result<Vec<PhoneNumberRow>, StoreError> {
        let rows: Vec<NumberRow> = on!(self.db, read, pool => sqlx::query_as(
            "SELECT id, organization_id, configuration_id, number, label, country, provider_id, workflow_id
             FROM phone_number WHERE organization_id = $1 ORDER BY number, id",
        )
        .bind(Uuid::from(owner))
        .fetch_all(pool)
        .await)?;
        rows.into_iter().map(PhoneNumberRow::try_from).collect()
    }

    /// A number of an organization; `None` if there is none, or if it is another's.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn number(&self, owner: OrganizationId, id: Uuid) -> Result<Option<PhoneNumberRow>, StoreError> {
        let row: Option<NumberRow> = on!(self.db, read, pool => sqlx::query_as(
            "SELECT id, organization_id, configuration_id, number, label, country, provider_id, workflow_id
             FROM phone_number WHERE organization_id = $1 AND id = $2",
        )
        .bind(Uuid::from(owner))
        .bind(id)
        .fetch_optional(pool)
        .await)?;
        row.map(PhoneNumberRow::try_from).transpose()
    }

    /// The number of an account that was called, with the workflow that answers it.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn number_of_account(
        &self,
        configuration: Uuid,
        number: &PhoneNumber,
    ) -> Result<Option<PhoneNumberRow>, StoreError> {
        let row: Option<NumberRow> = on!(self.db, read, pool => sqlx::query_as(
            "SELECT id, organization_id, configuration_id, number, label, country, provider_id, workflow_id
             FROM phone_number WHERE configuration_id = $1 AND number = $2",
        )
        .bind(configuration)
        .bind(number.as_e164())
        .fetch_optional(pool)
        .await)?;
        row.map(PhoneNumberRow::try_from).transpose()
    }

    /// Says which workflow answers a number, or that none does. False if there is no such number, or no such workflow of its
    /// organization.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn assign_workflow(
        &self,
        owner: OrganizationId,
        number: Uuid,
        workflow: Option<WorkflowId>,
    ) -> Result<bool, StoreError> {
        let workflow = workflow.map(Uuid::from);
        let changed = on!(self.db, write, pool => sqlx::query(
            "UPDATE phone_number SET workflow_id = $3, updated_at = $4
             WHERE organization_id = $1 AND id = $2
                 AND ($3 IS NULL OR EXISTS (SELECT 1 FROM workflow WHERE id = $3 AND organization_id = $1))",
        )
        .bind(Uuid::from(owner))
        .bind(number)
        .bind(workflow)
        .bind(now())
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(changed > 0)
    }
}

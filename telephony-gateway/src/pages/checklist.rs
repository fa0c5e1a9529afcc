//! What still blocks a call, outbound and inbound, and how to mend it.

use std::net::IpAddr;

use uuid::Uuid;

use super::shell::{PageError, Visitor};
use crate::store::{Account, PhoneNumberRow, Workflow};

/// Something that a call needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Whether it is there.
    pub(super) is_done: bool,
    /// What it is.
    pub(super) title: &'static str,
    /// What is there, or what to do.
    pub(super) detail: String,
    /// Where to do it, and what that is called.
    pub(super) mend: Option<(String, &'static str)>,
}

impl Step {
    fn done(title: &'static str, detail: impl Into<String>) -> Self {
        Self { is_done: true, title, detail: detail.into(), mend: None }
    }

    fn open(title: &'static str, detail: impl Into<String>, mend: (impl Into<String>, &'static str)) -> Self {
        Self { is_done: false, title, detail: detail.into(), mend: Some((mend.0.into(), mend.1)) }
    }
}

/// What calls need, each way.
#[derive(Clone, Debug)]
pub(super) struct Checklist {
    pub(super) outbound: Vec<Step>,
    pub(super) inbound: Vec<Step>,
}

/// What an organization has set up.
#[derive(Debug)]
pub(super) struct SetUp {
    pub(super) accounts: Vec<Account>,
    pub(super) numbers: Vec<PhoneNumberRow>,
    pub(super) workflows: Vec<Workflow>,
}

impl SetUp {
    pub(super) async fn of(visitor: &Visitor) -> Result<Self, PageError> {
        let (store, owner) = (visitor.service.store(), visitor.owner());
        let (accounts, numbers) = (store.accounts(owner).await?, store.numbers(owner).await?);
        Ok(Self { accounts, numbers, workflows: store.workflows(owner).await? })
    }

    /// The number that calls of an account come from if nothing else is said.
    pub(super) fn caller_id(&self, account: &Account) -> Option<String> {
        let own = || self.numbers_of(account.id).next().map(|number| number.number.as_e164().to_owned());
        account.default_from.clone().or_else(own)
    }

    pub(super) fn numbers_of(&self, account: Uuid) -> impl Iterator<Item = &PhoneNumberRow> {
        self.numbers.iter().filter(move |number| number.configuration == account)
    }

    /// Whether an outbound call can be placed now.
    pub(super) fn is_ready(&self) -> bool {
        self.accounts.iter().any(|account| self.caller_id(account).is_some())
    }

    pub(super) fn checklist(&self, visitor: &Visitor) -> Checklist {
        let account = self.account_step();
        let workflow = self.workflow_step();
        Checklist {
            outbound: vec![account.clone(), self.caller_id_step(), workflow.clone(), public_url_step(visitor)],
            inbound: vec![account, workflow, self.answered_step(), public_url_step(visitor)],
        }
    }

    /// The account that calls go through which name none.
    fn usual_account(&self) -> Option<&Account> {
        self.accounts.iter().find(|account| account.is_default).or(self.accounts.first())
    }

    fn account_step(&self) -> Step {
        const TITLE: &str = "An account with a carrier";
        let problem = |account: &Account| account.health.as_ref()?.problem.clone();
        if let Some((account, problem)) = self.usual_account().and_then(|account| Some((account, problem(account)?))) {
            let detail = format!("{} did not work when it was asked last: {problem}", account.name);
            return match account.is_sandbox {
                true => Step::open(TITLE, detail, ("phone", "Open the sandbox")),
                false => Step::open(TITLE, detail, (format!("configurations/{}", account.id), "Open the account")),
            };
        }
        match self.accounts.len() {
            0 => Step::open(
                TITLE,
                "Type in the account that you have, or try it in the sandbox first.",
                ("configurations/new", "Connect a carrier"),
            ),
            1 => Step::done(TITLE, self.accounts[0].name.clone()),
            many => Step::done(TITLE, format!("{many} accounts")),
        }
    }

    fn caller_id_step(&self) -> Step {
        const TITLE: &str = "A number to call from";
        let Some(account) = self.usual_account() else {
            return Step::open(TITLE, "It comes with the account.", ("configurations/new", "Connect a carrier"));
        };
        match self.caller_id(account) {
            Some(number) => Step::done(TITLE, format!("{number}, of {}", account.name)),
            None => Step::open(
                TITLE,
                format!("{} has no number yet: import its numbers, or set its caller ID.", account.name),
                (format!("configurations/{}", account.id), "Open the account"),
            ),
        }
    }

    fn workflow_step(&self) -> Step {
        const TITLE: &str = "A workflow that says who talks";
        match self.workflows.len() {
            0 => Step::open(
                TITLE,
                "It names the agent: one of yours, or one to try things out.",
                ("workflows/new", "Make a workflow"),
            ),
            1 => Step::done(TITLE, self.workflows[0].name.clone()),
            many => Step::done(TITLE, format!("{many} workflows")),
        }
    }

    fn answered_step(&self) -> Step {
        const TITLE: &str = "A number that a workflow answers";
        match self.numbers.iter().filter(|number| number.workflow.is_some()).count() {
            0 => {
                let detail = "Open an account, and say which workflow answers each of its numbers.";
                let at = self.accounts.first().map_or_else(
                    || "configurations/new".to_owned(),
                    |account| format!("configurations/{}", account.id),
                );
                Step::open(TITLE, detail, (at, "Assign a workflow"))
            }
            1 => Step::done(TITLE, "1 number is answered"),
            many => Step::done(TITLE, format!("{many} numbers are answered")),
        }
    }
}

/// Whether carriers can reach the gateway. A simulated one is on this machine, and can.
fn public_url_step(visitor: &Visitor) -> Step {
    const TITLE: &str = "An address that carriers reach";
    let url = visitor.service.public_url();
    let shown = url.as_str().trim_end_matches('/');
    if !is_this_machine(url.host_str().unwrap_or_default()) {
        return Step::done(TITLE, shown);
    }
    if visitor.sandbox_runs() {
        return Step::done(
            TITLE,
            format!("{shown}: the sandbox is here too. A carrier needs one from outside: --public-url."),
        );
    }
    let detail = format!(
        "{shown} is this machine only. Start the gateway with --public-url and the address of your proxy or tunnel."
    );
    Step { is_done: false, title: TITLE, detail, mend: None }
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let is_here = |address: IpAddr| address.is_loopback() || address.is_unspecified();
    address.map_or_else(|_| host == "localhost" || host.ends_with(".localhost"), is_here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_of_this_machine_or_not() {
        let is_here = ["localhost", "gateway.localhost", "127.0.0.1", "[::1]", "0.0.0.0"].map(is_this_machine);
        assert_eq!(is_here, [true; 5]);
        let is_elsewhere = ["voice.example.com", "192.0.2.1", "[2001:db8::1]"].map(is_this_machine);
        assert_eq!(is_elsewhere, [false; 3]);
    }
}

-- Whether a simulated carrier is behind an account. It works only while the sandbox runs.
ALTER TABLE organization_configuration ADD COLUMN is_sandbox INTEGER NOT NULL DEFAULT 0;

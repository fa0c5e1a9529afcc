-- What came of asking the carrier about an account last: when, and what was wrong, or null if it worked. Both are null while nobody knows.
ALTER TABLE organization_configuration ADD COLUMN checked_at INTEGER;
ALTER TABLE organization_configuration ADD COLUMN check_problem TEXT;

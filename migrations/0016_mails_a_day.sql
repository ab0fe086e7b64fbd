-- How many mails of an organization were queued in a day is counted before each.
create index delivery_mail_by_age on webhooks.delivery (org_id, created_at) where email is not null;

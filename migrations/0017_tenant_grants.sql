-- Who joins does so by a token, which nobody's organization shows yet: the gateway's role does it. A customer's role needs no
-- right to make members, nor to say that an invitation was accepted.
revoke insert on tenancy.member from forge_tenant;
revoke update (accepted_at, accepted_by) on tenancy.invitation from forge_tenant;
